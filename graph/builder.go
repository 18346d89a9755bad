package graph

import (
	"fmt"
	"sync"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Param is a parameter of a model: a name, a shape and its values, row-major.
// Every graph that uses it shares Value; nothing is copied.
type Param struct {
	Name  string
	Shape []int
	Value []float32
}

// NewParam returns a parameter of zeros.
func NewParam(name string, shape ...int) *Param {
	return &Param{Name: name, Shape: shape, Value: make([]float32, tensor.Shape(shape).TotalSize())}
}

// Node is a value of a graph: an input, a parameter or the output of an
// operation.
type Node struct{ node *G.Node }

// Shape returns the node's shape: [rows, columns], [length], or nil for a scalar
// and for the node that a failed operation returned.
func (n Node) Shape() []int {
	if n.node == nil {
		return nil
	}
	return n.node.Shape()
}

// Rows returns the first extent of the shape, or 0.
func (n Node) Rows() int { return n.extent(0) }

// Cols returns the second extent of the shape, or 0.
func (n Node) Cols() int { return n.extent(1) }

func (n Node) extent(axis int) int {
	if s := n.Shape(); len(s) > axis {
		return s[axis]
	}
	return 0
}

// Builder builds one graph, for [Build]. Its methods return nodes and never fail; the
// first error is kept, everything after it does nothing, and Build reports it.
//
// Names of inputs and parameters must be unique within a graph.
type Builder struct {
	engine *Engine
	graph  *G.ExprGraph
	inputs G.Nodes
	params map[*Param]Node
	held   map[*Param]Node // constants of the same values; nil but within Held
	names  map[string]bool
	data   map[*G.Node]bool  // inputs that are no parameters: nothing asks for their gradient
	bits   map[*G.Node]*bits // of inputs that were asked for them
	serial int
	err    error

	outputs []Node   // what the program is asked for
	loss    Node     // none where no gradient is asked for
	wrt     []*Param // of which the gradients are
}

// building is held while a graph is built: Gorgonia keeps global state meanwhile.
var building sync.Mutex

// stable turns off Gorgonia's own rewriting of expressions, which removes nodes
// that others use.
var stable = sync.OnceFunc(G.UseNonStable)

// Build returns the program of the graph that describe adds to a builder: it computes
// the nodes that were given to [Builder.Output], and the gradients that were asked for by
// [Builder.Gradients]. The program will compute with engine.
//
// Graphs are built one after another. A describe that builds another graph would wait for
// itself for ever.
func Build(engine *Engine, describe func(b *Builder)) (*Program, error) {
	building.Lock()
	defer building.Unlock()
	b := newBuilder(engine)
	describe(b)
	return b.compile()
}

func newBuilder(engine *Engine) *Builder {
	stable()
	return &Builder{
		engine: engine,
		graph:  G.NewGraph(),
		params: map[*Param]Node{},
		names:  map[string]bool{},
		data:   map[*G.Node]bool{},
		bits:   map[*G.Node]*bits{},
	}
}

// Output adds nodes whose values the program computes.
func (b *Builder) Output(nodes ...Node) { b.outputs = append(b.outputs, nodes...) }

// Gradients asks for the scalar loss and its gradient with respect to each of the
// parameters. The gradients come from gorgonia.Grad. A graph has one loss.
func (b *Builder) Gradients(loss Node, wrt []*Param) {
	if b.loss != none {
		b.fail("a graph has one loss, and Gradients was called twice")
	}
	b.loss, b.wrt = loss, wrt
}

// Input adds an input of the given shape. The returned slice holds its values,
// row-major, zeros at first: whoever runs the program fills it.
func (b *Builder) Input(name string, shape ...int) (Node, []float32) {
	values := make([]float32, tensor.Shape(shape).TotalSize())
	n := b.leaf(name, shape, values)
	b.data[n.node] = true
	return n, values
}

// Param adds a parameter, or returns its node if the graph has it already. Within Held it
// is a constant.
func (b *Builder) Param(p *Param) Node {
	if b.held != nil {
		return b.constant(p)
	}
	if n, ok := b.params[p]; ok {
		return n
	}
	n := b.leaf(p.Name, p.Shape, p.Value)
	b.params[p] = n
	return n
}

// Held adds what build adds, with all parameters held: no gradient flows from there to a
// parameter, though it does to other nodes.
func (b *Builder) Held(build func()) {
	outside := b.held
	if outside == nil {
		b.held = map[*Param]Node{}
	}
	build()
	b.held = outside
}

// constant is a parameter within Held.
func (b *Builder) constant(p *Param) Node {
	if n, ok := b.held[p]; ok {
		return n
	}
	held := b.held
	b.held = nil
	held[p] = b.StopGradient(b.Param(p))
	b.held = held
	return held[p]
}

func (b *Builder) leaf(name string, shape []int, values []float32) Node {
	if b.err != nil {
		return none
	}
	if b.names[name] {
		b.fail("two inputs or parameters are called %q", name)
		return none
	}
	for _, extent := range shape {
		if extent < 1 {
			b.fail("%s has shape %v: every extent must be at least 1", name, shape)
			return none
		}
	}
	b.names[name] = true
	value := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
	n := G.NewTensor(b.graph, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(value))
	b.inputs = append(b.inputs, n)
	return Node{n}
}

// want records an error unless ok.
func (b *Builder) want(ok bool, format string, args ...any) {
	if !ok {
		b.fail(format, args...)
	}
}

func (b *Builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("graph: "+format, args...)
	}
}
