package graph

import (
	"fmt"
	"hash"
	"hash/fnv"
	"runtime/debug"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// op is one operation of a graph, as Gorgonia sees it. The files op_*.go fill in
// the upper half.
type op struct {
	kind string // what it computes, e.g. "affine"
	note string // what a drawing of the graph should say besides, e.g. "relu"

	in  []Node
	out []int // shape of the output; nil is a scalar

	// forward computes the output from the inputs. It must write all of y and
	// must not write to the inputs.
	forward func(y []float32, in [][]float32)

	// derivative returns, for the gradient dy of the loss with respect to the
	// output y, the nodes of the gradient with respect to each input; none where
	// that input has no gradient. It is nil for operations that are themselves
	// part of a gradient.
	derivative func(y, dy Node) []Node
	wrt        []bool // which inputs have a gradient

	serial int       // tells apart operations that are otherwise equal
	y      []float32 // the output; made for it unless it is given
	buffer *tensor.Dense
	scalar *G.F32
}

// none stands for the gradient of an input that has none.
var none = Node{}

// apply adds an operation to the graph. After the first error it does nothing.
func (b *Builder) apply(o op) Node {
	if b.err != nil {
		return none
	}
	b.serial++
	o.serial = b.serial
	if o.y == nil {
		o.y = make([]float32, tensor.Shape(o.out).TotalSize())
	}
	if o.out == nil {
		o.scalar = new(G.F32)
	} else {
		o.buffer = tensor.New(tensor.WithShape(o.out...), tensor.WithBacking(o.y))
	}
	children := make(G.Nodes, len(o.in))
	for i, n := range o.in {
		children[i] = n.node
	}
	node, err := G.ApplyOp(&o, children...)
	if err != nil {
		b.fail("%s: %v", o.kind, err)
		return none
	}
	return Node{node}
}

// Do is how Gorgonia's own machines run an operation. A panic is turned into an error
// here: they call Do in a goroutine of their own, where nobody could recover it.
func (o *op) Do(values ...G.Value) (_ G.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("graph: %v: %v\n%s", o, p, debug.Stack())
		}
	}()
	args := make([][]float32, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case *tensor.Dense:
			args[i] = v.Float32s()
		case *G.F32:
			args[i] = []float32{float32(*v)}
		default:
			return nil, fmt.Errorf("graph: %v: input %d is a %T, want a float32 tensor", o, i, v)
		}
	}
	o.forward(o.y, args)
	if o.scalar != nil {
		*o.scalar = G.F32(o.y[0])
		return o.scalar, nil
	}
	return o.buffer, nil
}

// SymDiff is how gorgonia.Grad asks for the derivative.
func (o *op) SymDiff(_ G.Nodes, output, grad *G.Node) (G.Nodes, error) {
	nodes := make(G.Nodes, len(o.in))
	for i, n := range o.derivative(Node{output}, Node{grad}) {
		nodes[i] = n.node
		if o.wrt[i] && n.node == nil {
			return nil, fmt.Errorf("graph: %v: no gradient for input %d", o, i)
		}
	}
	return nodes, nil
}

func (o *op) DiffWRT(int) []bool {
	if o.derivative == nil {
		return make([]bool, len(o.in))
	}
	return o.wrt
}

func (o *op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.in)+1)
	for _, n := range o.in {
		types = append(types, typeOf(n.Shape()))
	}
	return hm.NewFnType(append(types, typeOf(o.out))...)
}

func typeOf(shape []int) hm.Type {
	if len(shape) == 0 {
		return tensor.Float32
	}
	return G.TensorType{Dims: len(shape), Of: tensor.Float32}
}

func (o *op) InferShape(...G.DimSizer) (tensor.Shape, error) { return o.out, nil }

// WriteHash gives every operation a hash of its own. Gorgonia merges nodes on
// it, and two operations with buffers must never be merged.
func (o *op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "elbo %s #%d", o.kind, o.serial) }

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *op) String() string {
	if o.note == "" {
		return o.kind
	}
	return o.kind + " " + o.note
}

func (o *op) Arity() int           { return len(o.in) }
func (o *op) ReturnsPtr() bool     { return true }
func (o *op) CallsExtern() bool    { return false } // true would allocate an output for every run
func (o *op) OverwritesInput() int { return -1 }

var _ G.SDOp = (*op)(nil)
