package graphtest

import (
	"fmt"
	"strings"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"elbo/graph"
)

// StockVAE computes the loss of a VAE, -(1/B) Σ_B (log p(x|z) - KL), and its
// gradients in float64 from Gorgonia's stock operations, of which it uses those that
// are right: Mul, BroadcastAdd, Rectify or Tanh, Exp, Square, Softplus, Add, Sub,
// HadamardProd, Sum. It is the twin of a fused graph: nothing but Gorgonia itself is
// shared.
//
// params are the encoder's and then the decoder's, weights [out, in] before biases;
// x is [B, D], eps [B, Z]. The likelihood is Bernoulli, the activation relu or tanh.
func StockVAE(params []*graph.Param, activation graph.Activation, latent int, x, eps []float32, batch int) (loss float64, grads map[string][]float64, err error) {
	defer func() {
		if p := recover(); p != nil { // stock operations and Must panic
			err = fmt.Errorf("stock graph: %v", p)
		}
	}()
	s := &stock{graph: G.NewGraph(), f: G.Rectify}
	if activation == graph.Tanh {
		s.f = G.Tanh
	}
	var encoder, decoder []*graph.Param
	for _, p := range params {
		if strings.HasPrefix(p.Name, "encoder.") {
			encoder = append(encoder, p)
		} else {
			decoder = append(decoder, p)
		}
	}
	pixels := s.input("x", batch, len(x)/batch, x)
	noise := s.input("eps", batch, latent, eps)

	// The last encoder layer, [μ | log σ²], as two layers: no slicing.
	last := len(encoder) - 2
	h := s.hidden(pixels, encoder[:last])
	in := encoder[last].Shape[1]
	mu := s.affine(h, encoder[last], encoder[last+1], 0, latent, in)
	logVar := s.affine(h, encoder[last], encoder[last+1], latent, 2*latent, in)

	half := G.NewConstant(0.5)
	sigma := G.Must(G.Exp(G.Must(G.Mul(logVar, half))))
	z := G.Must(G.Add(mu, G.Must(G.HadamardProd(sigma, noise))))
	last = len(decoder) - 2
	logits := s.affine(s.hidden(z, decoder[:last]), decoder[last], decoder[last+1], 0, len(x)/batch, decoder[last].Shape[1])

	logLik := G.Must(G.Sum(G.Must(G.Sub(G.Must(G.HadamardProd(pixels, logits)), G.Must(G.Softplus(logits))))))
	second := G.Must(G.Add(G.Must(G.Square(mu)), G.Must(G.Exp(logVar))))
	kl := G.Must(G.Mul(G.Must(G.Sum(G.Must(G.Sub(second, logVar)))), half)) // but for -½ B Z
	cost := G.Must(G.Sub(kl, logLik))
	nodes, err := G.Grad(cost, s.nodes...)
	if err != nil {
		return 0, nil, err
	}
	machine := G.NewTapeMachine(s.graph)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		return 0, nil, err
	}
	grads = map[string][]float64{}
	for i, n := range nodes {
		s.pieces[i].collect(grads, n.Value().Data().([]float64), batch)
	}
	return cost.Value().Data().(float64)/float64(batch) - float64(latent)/2, grads, nil
}

type stock struct {
	graph  *G.ExprGraph
	f      func(*G.Node) (*G.Node, error)
	nodes  G.Nodes
	pieces []piece // of parameters, one a node
}

// piece is rows lo to hi of a parameter, transposed where it is a weight.
type piece struct {
	of     *graph.Param
	lo, hi int
}

func (s *stock) input(name string, rows, cols int, values []float32) *G.Node {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return G.NewMatrix(s.graph, tensor.Float64, G.WithName(name), G.WithShape(rows, cols),
		G.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(wide))))
}

func (s *stock) hidden(x *G.Node, layers []*graph.Param) *G.Node {
	for i := 0; i < len(layers); i += 2 {
		w := layers[i]
		x = G.Must(s.f(s.affine(x, w, layers[i+1], 0, w.Shape[0], w.Shape[1])))
	}
	return x
}

// affine is x Wᵀ + b for rows lo to hi of w and b.
func (s *stock) affine(x *G.Node, w, b *graph.Param, lo, hi, in int) *G.Node {
	transposed := make([]float32, 0, in*(hi-lo))
	for j := range in {
		for i := lo; i < hi; i++ {
			transposed = append(transposed, w.Value[i*in+j])
		}
	}
	weight := s.input(fmt.Sprintf("%s[%d:%d]", w.Name, lo, hi), in, hi-lo, transposed)
	bias := s.input(fmt.Sprintf("%s[%d:%d]", b.Name, lo, hi), 1, hi-lo, b.Value[lo:hi])
	s.nodes = append(s.nodes, weight, bias)
	s.pieces = append(s.pieces, piece{w, lo, hi}, piece{b, lo, hi})
	return G.Must(G.BroadcastAdd(G.Must(G.Mul(x, weight)), bias, nil, []byte{0}))
}

// collect puts the gradient of a piece in its place in that of the parameter, and
// divides it by the number of images.
func (p piece) collect(grads map[string][]float64, grad []float64, batch int) {
	whole := grads[p.of.Name]
	if whole == nil {
		whole = make([]float64, len(p.of.Value))
		grads[p.of.Name] = whole
	}
	in, out := len(p.of.Value)/p.of.Shape[0], p.hi-p.lo
	for k, g := range grad {
		j, i := k/out, k%out // [in, out]
		whole[(p.lo+i)*in+j] = g / float64(batch)
	}
}
