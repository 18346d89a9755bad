package graph

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Program is a compiled graph: it maps the values of its inputs and parameters
// to its outputs, and to gradients where it was compiled with them. A program is
// not safe for concurrent use; different programs are, also on shared
// parameters.
type Program struct {
	machine G.VM
	graph   *G.ExprGraph
	grads   G.Nodes
	dot     func() string
}

// Compile returns a program that computes the outputs.
func (b *Builder) Compile(outputs ...Node) (*Program, error) {
	return b.compile(none, nil, outputs)
}

// CompileGrad returns a program that computes the scalar loss, its gradient with
// respect to every parameter of wrt, and the outputs. The gradients come from
// gorgonia.Grad.
func (b *Builder) CompileGrad(loss Node, wrt []*Param, outputs ...Node) (*Program, error) {
	return b.compile(loss, wrt, outputs)
}

func (b *Builder) compile(loss Node, wrt []*Param, outputs []Node) (p *Program, err error) {
	defer building.Unlock()
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("graph: compiling failed: %v\n%s", r, debug.Stack())
		}
	}()
	if b.err != nil {
		return nil, b.err
	}
	var roots G.Nodes
	for _, n := range outputs {
		roots = append(roots, n.node)
	}
	p = &Program{graph: b.graph}
	if loss != none {
		if p.grads, err = b.differentiate(loss, wrt); err != nil {
			return nil, err
		}
		roots = append(append(roots, loss.node), p.grads...)
	}
	// An input that nothing depends on is a mistake, which Gorgonia reports; a
	// parameter may be left out.
	used := ancestors(roots)
	inputs := slices.DeleteFunc(b.inputs, func(n *G.Node) bool { return !b.data[n] && !slices.Contains(used, n) })
	code, locations, err := G.CompileFunction(b.graph, inputs, roots)
	if err != nil {
		return nil, fmt.Errorf("graph: compiling failed: %w", err)
	}
	p.machine = G.NewTapeMachine(b.graph, G.WithPrecompiled(code, locations))
	p.dot = func() string { return writeDOT(b.graph, roots) }
	return p, nil
}

func (b *Builder) differentiate(loss Node, wrt []*Param) (G.Nodes, error) {
	nodes := make(G.Nodes, len(wrt))
	for i, param := range wrt {
		n, ok := b.params[param]
		if !ok {
			return nil, fmt.Errorf("graph: %s is not in the graph: the loss does not depend on it", param.Name)
		}
		nodes[i] = n.node
	}
	grads, err := G.Grad(loss.node, nodes...)
	return grads, errors.Join(err, b.err) // derivatives are built by b as well
}

// Run computes outputs and gradients from the present values of inputs and
// parameters.
func (p *Program) Run() error {
	err := p.machine.RunAll()
	p.machine.Reset() // also after an error: the next run starts afresh
	return err
}

// Values returns the values of an output after a run, row-major, one element
// for a scalar. They are valid until the next run, and must not be changed.
func (p *Program) Values(n Node) []float32 {
	return values(n.node)
}

// Grad returns the gradient of the loss with respect to the i-th parameter that
// the program was compiled for. It is valid until the next run, and must not be
// changed: parameters may share it.
func (p *Program) Grad(i int) []float32 {
	return values(p.grads[i])
}

// DOT returns the graph in Graphviz' language. The same program gives the same
// text.
func (p *Program) DOT() string { return p.dot() }

func values(n *G.Node) []float32 {
	switch v := n.Value().(type) {
	case *tensor.Dense:
		return v.Float32s()
	case *G.F32:
		return []float32{float32(*v)}
	}
	return nil // not run yet
}
