package infer

import (
	"fmt"

	"elbo/graph"
	"elbo/model"
)

// NodeTable is a compiled E-graph over nodes of quadrature in the latent space: it
// gives blocks of images their log p(x, z) at each of K nodes.
//
// Where the likelihood is natural, linear in the image once a node is decoded,
//
//	log p(x_n|z_k) = a_n + (x_n - c)·w_k + b_k,
//
// nodes are decoded once for all images, and the table is one matrix product. Else a node's
// output is kept, and the likelihood is evaluated for every pair.
type NodeTable struct {
	joint         *model.Joint
	natural       model.Natural // nil where the likelihood is not
	density       *model.PriorDensity
	images, nodes int

	decode  *graph.Program
	z       []float32    // [slab, Z]
	out     graph.Node   // [slab, O]
	atZero  graph.Node   // log p(0|z), [slab], of a natural likelihood
	outputs *graph.Param // w_k, or the decoder's outputs, [K, O]
	base    *graph.Param // b_k + log p(z_k), [K]
	prior   []float64    // log p(z_k), [K]
	centre  []float64    // c, [D]; nil where it is 0

	table  *graph.Program
	x      []float32  // [B, D]; of one image where the likelihood is not natural
	values graph.Node // [B, K] or, of one image, [K]
	joints []float32  // [B, K], where the likelihood is not natural
	offset []float64  // a_n, [B]
}

// decodeRows is how many nodes are decoded at once.
const decodeRows = 1000

// NewNodeTable compiles a table for blocks of the given number of images, over the given
// number of nodes. It holds K·(D + B) float32 numbers.
func NewNodeTable(j *model.Joint, images, nodes int) (*NodeTable, error) {
	if images < 1 || nodes < 1 {
		return nil, fmt.Errorf("infer: a table of %d images and %d nodes, want at least 1 of each", images, nodes)
	}
	t := &NodeTable{
		joint: j, images: images, nodes: nodes, prior: make([]float64, nodes), offset: make([]float64, images),
		outputs: graph.NewParam("nodes.output", nodes, j.Outputs()), base: graph.NewParam("nodes.base", nodes),
	}
	t.natural, _ = j.Likelihood.(model.Natural)
	slab := min(nodes, decodeRows)
	var err error
	if t.density, err = j.NewPriorDensity(slab); err != nil {
		return nil, err
	}
	t.decode, err = graph.Build(j.Engine, func(b *graph.Builder) {
		var z graph.Node
		z, t.z = b.Input("z", slab, j.Latent)
		t.out = j.Decoder.Apply(b, z)
		b.Output(t.out)
		if t.natural != nil {
			zero, _ := b.Input("zero", 1, j.Pixels)
			t.atZero = j.Likelihood.LogProb(b, zero, t.out)
			b.Output(t.atZero)
		}
	})
	if err != nil {
		return nil, err
	}
	t.table, err = graph.Build(j.Engine, func(b *graph.Builder) {
		var x graph.Node
		if t.natural != nil {
			x, t.x = b.Input("x", images, j.Pixels)
			t.values = b.Affine(x, b.Param(t.outputs), b.Param(t.base), graph.Identity)
		} else {
			x, t.x = b.Input("x", 1, j.Pixels)
			t.values = b.Add(j.Likelihood.LogProb(b, x, b.Param(t.outputs)), b.Param(t.base))
			t.joints = make([]float32, images*nodes)
		}
		b.Output(t.values)
	})
	return t, err
}

// SetNodes decodes the nodes z, [K, Z].
func (t *NodeTable) SetNodes(z []float32) error {
	dims, o := t.joint.Latent, t.joint.Outputs()
	if len(z) != t.nodes*dims {
		return fmt.Errorf("infer: %d coordinates of nodes, want %d nodes of %d", len(z), t.nodes, dims)
	}
	clear(t.base.Value)
	slab := len(t.z) / dims
	for first := 0; first < t.nodes; first += slab {
		n := min(slab, t.nodes-first)
		copy(t.z, z[first*dims:][:n*dims])
		if err := t.decode.Run(); err != nil {
			return err
		}
		copy(t.outputs.Value[first*o:], t.decode.Values(t.out)[:n*o])
		if t.natural != nil {
			copy(t.base.Value[first:], t.decode.Values(t.atZero)[:n])
		}
	}
	if t.natural != nil {
		t.centre = t.natural.Nodes(t.joint.Engine, t.outputs.Value, t.base.Value)
	}
	at := make([]float64, slab*dims)
	for first := 0; first < t.nodes; first += slab {
		n := min(slab, t.nodes-first)
		for i, v := range z[first*dims:][:n*dims] {
			at[i] = float64(v)
		}
		if err := t.density.At(at[:n*dims], t.prior[first:][:n], nil); err != nil {
			return err
		}
	}
	for k, logP := range t.prior {
		t.base.Value[k] += float32(logP)
	}
	return nil
}

// LogJoint returns log p(x_n, z_k) - a_n of the images x, [n, D] with n at most B, as
// [n, K] in nats, and a_n, [n], to be added. Both are valid until the next call.
func (t *NodeTable) LogJoint(x []float32) (joint []float32, offset []float64, err error) {
	d := t.joint.Pixels
	n := len(x) / d
	if len(x) != n*d || n > t.images {
		return nil, nil, fmt.Errorf("infer: %d pixels, want those of at most %d images of %d", len(x), t.images, d)
	}
	if t.natural == nil {
		for i := range n {
			copy(t.x, x[i*d:][:d])
			if err := t.table.Run(); err != nil {
				return nil, nil, err
			}
			copy(t.joints[i*t.nodes:], t.table.Values(t.values))
		}
		return t.joints[:n*t.nodes], t.offset[:n], nil
	}
	for i := range n {
		t.offset[i] = t.natural.Centre(t.x[i*d:][:d], x[i*d:][:d], t.centre)
	}
	if err := t.table.Run(); err != nil {
		return nil, nil, err
	}
	return t.table.Values(t.values)[:n*t.nodes], t.offset[:n], nil
}

// Images is the number of images in a block.
func (t *NodeTable) Images() int { return t.images }

// LogPrior returns log p(z_k) of each node, [K], in nats.
func (t *NodeTable) LogPrior() []float64 { return t.prior }

// Base returns the part of each node's log joint that knows no image, [K].
func (t *NodeTable) Base() []float32 { return t.base.Value }
