package model

import (
	"fmt"
	"math"

	"elbo/graph"
)

// Generator is p(x|z) p(z) with the prior N(0, I): what a VAE and a grid have in common
// once their ways of inference are taken away. It shares the model's parameters.
type Generator struct {
	Pixels     int // D
	Latent     int // Z
	Likelihood Likelihood
	Engine     *graph.Engine

	decoder     *graph.MLP
	logVariance *graph.Param // of the Gaussian likelihood, [1]
}

// Generator returns the VAE without its encoder.
func (m *VAE) Generator() *Generator {
	return &Generator{
		Pixels: m.Config.Pixels, Latent: m.Config.Latent, Likelihood: m.Config.Likelihood,
		Engine: m.engine, decoder: m.decoder, logVariance: m.logVariance,
	}
}

// Generator returns a grid's decoder under the continuous prior N(0, I), which the grid
// made discrete; nil for a mixture, which has none.
func (m *EM) Generator() *Generator {
	g, ok := m.states.(*gridStates)
	if !ok {
		return nil
	}
	return &Generator{
		Pixels: m.Config.Pixels, Latent: len(m.Config.Grid.Extent), Likelihood: m.Config.Likelihood,
		Engine: m.engine, decoder: g.decoder,
	}
}

// NodeTable is a compiled E-graph over nodes of quadrature in the latent space: it
// gives blocks of images their log p(x, z) at each of K nodes.
//
// The log-likelihoods are exponential families, linear in x once a node is decoded:
//
//	log p(x_n|z_k) = a_n + (x_n - c)·w_k + b_k
//
// Bernoulli, continuous or not: a = c = 0, w the logits, b = log p(0|z). Gaussian: c is
// the nodes' mean image, w = (m_k - c)/σ², b = log N(c; m_k, σ²), a = -½ |x_n - c|²/σ².
// So nodes are decoded once for all images, and the table is one matrix product.
type NodeTable struct {
	generator     *Generator
	images, nodes int

	decode  *graph.Program
	z       []float32  // [slab, Z]
	out     graph.Node // [slab, D]
	atZero  graph.Node // log p(0|z), [slab]
	weights *graph.Param
	base    *graph.Param // b_k + log p(z_k), [K]
	centre  []float64    // c, [D]; nil where it is 0

	table  *graph.Program
	x      []float32 // [B, D]
	joint  graph.Node
	offset []float64 // a_n, [B]
}

// decodeRows is how many nodes are decoded at once.
const decodeRows = 1000

// NewNodeTable compiles a table for blocks of the given number of images, over the given
// number of nodes. It holds K·(D + B) float32 numbers.
func (g *Generator) NewNodeTable(images, nodes int) (*NodeTable, error) {
	if images < 1 || nodes < 1 {
		return nil, fmt.Errorf("model: a table of %d images and %d nodes, want at least 1 of each", images, nodes)
	}
	t := &NodeTable{
		generator: g, images: images, nodes: nodes, offset: make([]float64, images),
		weights: graph.NewParam("nodes.weight", nodes, g.Pixels), base: graph.NewParam("nodes.base", nodes),
	}
	b := graph.NewBuilder(g.Engine)
	var z graph.Node
	z, t.z = b.Input("z", min(nodes, decodeRows), g.Latent)
	t.out = g.decoder.Apply(b, z)
	outputs := []graph.Node{t.out}
	if g.Likelihood == Gaussian {
		t.centre = make([]float64, g.Pixels)
	} else {
		zero, _ := b.Input("zero", 1, g.Pixels)
		t.atZero = g.Likelihood.logLik(b, zero, t.out, nil)
		outputs = append(outputs, t.atZero)
	}
	var err error
	if t.decode, err = b.Compile(outputs...); err != nil {
		return nil, err
	}
	b = graph.NewBuilder(g.Engine)
	var x graph.Node
	x, t.x = b.Input("x", images, g.Pixels)
	t.joint = b.Affine(x, b.Param(t.weights), b.Param(t.base), graph.Identity)
	t.table, err = b.Compile(t.joint)
	return t, err
}

// SetNodes decodes the nodes z, [K, Z].
func (t *NodeTable) SetNodes(z []float32) error {
	g, d := t.generator, t.generator.Pixels
	if len(z) != t.nodes*g.Latent {
		return fmt.Errorf("model: %d coordinates of nodes, want %d nodes of %d", len(z), t.nodes, g.Latent)
	}
	slab := len(t.z) / g.Latent
	for first := 0; first < t.nodes; first += slab {
		n := min(slab, t.nodes-first)
		copy(t.z, z[first*g.Latent:][:n*g.Latent])
		if err := t.decode.Run(); err != nil {
			return err
		}
		copy(t.weights.Value[first*d:], t.decode.Values(t.out)[:n*d])
		if g.Likelihood != Gaussian {
			copy(t.base.Value[first:], t.decode.Values(t.atZero)[:n])
		}
	}
	if g.Likelihood == Gaussian {
		t.centreMeans()
	}
	for k := range t.nodes {
		t.base.Value[k] += float32(LogPrior(z[k*g.Latent:][:g.Latent]))
	}
	return nil
}

// centreMeans turns the decoded means of a Gaussian likelihood into weights and base.
// Centred, the sums are as small as the nodes' images are alike: without it float32
// loses the digits that count to |x|²/σ².
func (t *NodeTable) centreMeans() {
	d, logVar := t.generator.Pixels, float64(t.generator.logVariance.Value[0])
	precision := math.Exp(-logVar)
	clear(t.centre)
	for i, m := range t.weights.Value {
		t.centre[i%d] += float64(m) / float64(t.nodes)
	}
	t.generator.Engine.Split(t.nodes, 16, func(lo, hi int) {
		for k := lo; k < hi; k++ {
			squares := 0.0
			row := t.weights.Value[k*d:][:d]
			for j, c := range t.centre {
				r := float64(row[j]) - c
				squares += r * r
				row[j] = float32(r * precision)
			}
			t.base.Value[k] = float32(-(squares*precision + float64(d)*(logVar+math.Log(2*math.Pi))) / 2)
		}
	})
}

// LogJoint returns log p(x_n, z_k) - a_n of the images x, [n, D] with n at most B, as
// [n, K] in nats, and a_n, [n], to be added. Both are valid until the next call.
func (t *NodeTable) LogJoint(x []float32) (joint []float32, offset []float64, err error) {
	d := t.generator.Pixels
	n := len(x) / d
	if len(x) != n*d || n > t.images {
		return nil, nil, fmt.Errorf("model: %d pixels, want those of at most %d images of %d", len(x), t.images, d)
	}
	if t.centre == nil {
		copy(t.x, x)
	} else {
		precision := math.Exp(-float64(t.generator.logVariance.Value[0]))
		for i := range n {
			squares := 0.0
			for j, c := range t.centre {
				r := float64(x[i*d+j]) - c
				squares += r * r
				t.x[i*d+j] = float32(r)
			}
			t.offset[i] = -squares * precision / 2
		}
	}
	if err := t.table.Run(); err != nil {
		return nil, nil, err
	}
	return t.table.Values(t.joint)[:n*t.nodes], t.offset[:n], nil
}

// Images is the number of images in a block.
func (t *NodeTable) Images() int { return t.images }

// Base returns the part of each node's log joint that knows no image, [K].
func (t *NodeTable) Base() []float32 { return t.base.Value }

// LogPrior is log N(z; 0, I), in nats.
func LogPrior(z []float32) float64 {
	sum := float64(len(z)) * math.Log(2*math.Pi)
	for _, v := range z {
		sum += float64(v) * float64(v)
	}
	return -sum / 2
}
