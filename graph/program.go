package graph

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/viterin/vek/vek32"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Program is a compiled graph: it maps the values of its inputs and parameters
// to its outputs, and to gradients where it was compiled with them. A program is
// not safe for concurrent use; different programs are, also on shared
// parameters.
//
// It is the list of the graph's operations in an order in which each finds its
// operands computed, every one with the slices that it reads and writes. Gorgonia's
// tape machine computes the same from the same graph, but takes 35 to 45 microseconds
// a run for itself, a tenth of a step of a small batch.
type Program struct {
	steps  []step
	values map[*G.Node][]float32
	grads  G.Nodes
	dot    func() string
}

// step is an operation and where its operands are.
type step struct {
	name fmt.Stringer
	run  func() error
}

// compile returns the program of all that was added to b. It ends the building: only
// derivatives are still added.
func (b *Builder) compile() (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("graph: compiling failed: %v\n%s", r, debug.Stack())
		}
	}()
	if b.err != nil {
		return nil, b.err
	}
	var roots G.Nodes
	for _, n := range b.outputs {
		roots = append(roots, n.node)
	}
	p = &Program{values: map[*G.Node][]float32{}}
	if b.loss != none {
		if p.grads, err = b.differentiate(b.loss, b.wrt); err != nil {
			return nil, err
		}
		roots = append(append(roots, b.loss.node), p.grads...)
	}
	// An input that nothing depends on is a mistake; a parameter may be left out.
	nodes := ancestors(roots)
	for _, n := range b.inputs {
		if b.data[n] && !slices.Contains(nodes, n) {
			return nil, fmt.Errorf("graph: no output depends on the input %s", n.Name())
		}
	}
	for _, n := range nodes {
		if err := p.add(n); err != nil {
			return nil, fmt.Errorf("graph: compiling failed: %w", err)
		}
	}
	p.dot = func() string { return writeDOT(b.graph, roots) }
	return p, nil
}

// gradientSum is how Gorgonia calls the sum of two tensors. It computes it, too, but takes as
// long for some thousand numbers as a small product.
const gradientSum = "+ false"

// add appends the operation of a node whose operands were added before.
func (p *Program) add(n *G.Node) error {
	operands := children(n)
	var in [][]float32
	for _, child := range operands {
		values, ok := p.values[child]
		if !ok {
			return fmt.Errorf("%v comes before its operand %v", n, child)
		}
		in = append(in, values)
	}
	switch o := n.Op().(type) {
	case *op:
		p.values[n] = o.y
		p.steps = append(p.steps, step{o, func() error {
			o.forward(o.y, in)
			return nil
		}})
	case G.UsePreallocDoer: // Gorgonia's own: the sum where gradients meet
		if n.Op().String() == gradientSum && len(in) == 2 && len(in[0]) == len(in[1]) {
			y := make([]float32, len(in[0]))
			p.values[n] = y
			p.steps = append(p.steps, step{n.Op(), func() error {
				vek32.Add_Into(y, in[0], in[1])
				return nil
			}})
			return nil
		}
		y := tensor.New(tensor.WithShape(n.Shape()...), tensor.Of(tensor.Float32))
		p.values[n] = y.Float32s()
		var args []G.Value
		for i, child := range operands {
			args = append(args, tensor.New(tensor.WithShape(child.Shape()...), tensor.WithBacking(in[i])))
		}
		p.steps = append(p.steps, step{n.Op(), func() error {
			_, err := o.UsePreallocDo(y, args...)
			return err
		}})
	default: // a leaf, or a constant
		switch v := n.Value().(type) {
		case *tensor.Dense:
			p.values[n] = v.Float32s()
		case *G.F32:
			p.values[n] = []float32{float32(*v)}
		default:
			return fmt.Errorf("%v has no value", n)
		}
	}
	return nil
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
// parameters. A panic in an operation is returned as an error that names it.
func (p *Program) Run() (err error) {
	at := 0
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("graph: %v: %v\n%s", p.steps[at].name, r, debug.Stack())
		}
	}()
	for i := range p.steps {
		at = i
		if err := p.steps[i].run(); err != nil {
			return fmt.Errorf("graph: %v: %w", p.steps[i].name, err)
		}
	}
	return nil
}

// Values returns the values of an output after a run, row-major, one element
// for a scalar. They are valid until the next run, and must not be changed.
func (p *Program) Values(n Node) []float32 { return p.values[n.node] }

// Grad returns the gradient of the loss with respect to the i-th parameter that
// the program was compiled for. It is valid until the next run, and must not be
// changed: parameters may share it.
func (p *Program) Grad(i int) []float32 { return p.values[p.grads[i]] }

// DOT returns the graph in Graphviz' language. The same program gives the same
// text.
func (p *Program) DOT() string { return p.dot() }
