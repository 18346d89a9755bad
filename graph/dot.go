package graph

import (
	"fmt"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"
)

// writeDOT draws what the roots depend on: parameters as boxes, inputs as
// trapezia, operations as ellipses with the shape of their output. Nodes are
// numbered in the order in which they were made, so the text is stable.
func writeDOT(g *G.ExprGraph, roots G.Nodes) string {
	nodes := ancestors(roots)
	number := make(map[*G.Node]int, len(nodes))
	for i, n := range nodes {
		number[n] = i
	}
	var s strings.Builder
	s.WriteString("digraph elbo {\n  rankdir=BT;\n  node [fontname=\"sans-serif\"];\n")
	for i, n := range nodes {
		shape, label := "box", n.Name()
		switch {
		case n.Op() != nil:
			shape, label = "ellipse", n.Op().String()
			if _, ours := n.Op().(*op); !ours { // Gorgonia's sum of gradients, "+ false"
				label, _, _ = strings.Cut(label, " ")
			}
		case !strings.Contains(label, "."): // parameters are called module.layer.kind
			shape = "invtrapezium"
		}
		fmt.Fprintf(&s, "  n%d [shape=%s, label=\"%s\\n%v\"];\n", i, shape, escapeDOT.Replace(label), []int(n.Shape()))
		if n.Op() == nil {
			continue
		}
		for _, child := range children(n) {
			fmt.Fprintf(&s, "  n%d -> n%d;\n", number[child], i)
		}
	}
	s.WriteString("}\n")
	return s.String()
}

var escapeDOT = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ")

// ancestors returns the roots and all that they are computed from, oldest first.
func ancestors(roots G.Nodes) G.Nodes {
	seen := map[*G.Node]bool{}
	var all G.Nodes
	var visit func(n *G.Node)
	visit = func(n *G.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		all = append(all, n)
		for _, child := range children(n) {
			visit(child)
		}
	}
	for _, n := range roots {
		visit(n)
	}
	slices.SortFunc(all, func(a, b *G.Node) int { return int(a.ID() - b.ID()) })
	return all
}

// children returns the operands of n in order.
func children(n *G.Node) G.Nodes {
	if o, ok := n.Op().(*op); ok {
		operands := make(G.Nodes, len(o.in))
		for i, in := range o.in {
			operands[i] = in.node
		}
		return operands
	}
	var operands G.Nodes
	for it := n.Graph().From(n.ID()); it.Next(); {
		operands = append(operands, it.Node().(*G.Node))
	}
	slices.SortFunc(operands, func(a, b *G.Node) int { return int(a.ID() - b.ID()) })
	return operands
}
