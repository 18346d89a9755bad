package train

import (
	"fmt"
	"strings"

	"elbo/graph"
	"elbo/model"
	"elbo/train/onnx"
)

// EncoderONNX returns the encoder of a VAE as an ONNX model, x [N, D] → mu, logvar [N, Z]: the mean
// and the log variance of q(z|x). N is free. A mixture or a grid has none, which is a *ConfigError.
func (s *Setup) EncoderONNX() (*onnx.Model, error) {
	m, ok := s.Model.(Amortised)
	if !ok {
		return nil, &ConfigError{fmt.Errorf("a %s has no encoder: its posterior is a table, by Bayes' rule", s.Config.Model)}
	}
	vae := m.VAE()
	latent, networks := []int{vae.Latent}, []model.Network(nil)
	switch q := vae.Q.Posterior.(type) {
	case model.DiagonalGaussian:
	case *model.LayeredPosterior:
		latent, networks = q.Layers.Latent, q.Networks()
	default:
		return nil, &ConfigError{fmt.Errorf("the posterior is a %v: only a diagonal Gaussian, or several layers of them, can be exported", q)}
	}
	b := exported{g: onnx.Graph{Name: string(model.EncoderPart)}}
	x := b.input("x", vae.Pixels, fmt.Sprintf("images of %d x %d pixels, row by row from the top, in [0, 1], binarised as for training: %s", s.Dataset.Rows(), s.Dataset.Cols(), s.Config.Binarise))
	h, err := b.network(vae.Q.Encoder, x, "h")
	if err != nil {
		return nil, err
	}
	if len(latent) == 1 {
		b.split(h, "halves", []int{vae.Latent, vae.Latent}, "mu", "logvar")
	} else { // the mean of each layer at that of the one below
		var means, logVars []string
		for l, z := range latent {
			name := fmt.Sprintf("z%d", l+1)
			if l > 0 {
				if h, err = b.network(networks[l-1], means[l-1], name+".h"); err != nil {
					return nil, err
				}
			}
			b.split(h, name+".halves", []int{z, z}, name+".mu", name+".logvar")
			means, logVars = append(means, name+".mu"), append(logVars, name+".logvar")
		}
		b.join("mu", means)
		b.join("logvar", logVars)
	}
	b.output("mu", vae.Latent, "mean of q(z|x)")
	b.output("logvar", vae.Latent, "log variance of q(z|x)")
	return s.exported(b, "encoder of a VAE: x to mean and log variance of q(z|x)"), nil
}

// DecoderONNX returns the decoder of a VAE or a grid as an ONNX model, z [N, Z] → mean [N, D], which
// is E[x|z], and before it of a Bernoulli distribution logits [N, D], of one with two numbers for a
// value parameters [N, 2D]. N is free. A mixture has none,
// which is a *ConfigError.
func (s *Setup) DecoderONNX() (*onnx.Model, error) {
	joint, err := s.Joint()
	if err != nil {
		return nil, err
	}
	b := exported{g: onnx.Graph{Name: string(model.DecoderPart)}}
	z := b.input("z", joint.Latent, "codes; "+priorDoc(joint.Prior))
	network := joint.Decoder
	if lowest, ok := network.(model.LowestLayer); ok {
		network = lowest.Network
		b.split(z, "layers", []int{lowest.Latent, joint.Latent - lowest.Latent}, "z1", "above")
		z = "z1"
	}
	switch likelihood := joint.Likelihood.(type) {
	case *model.Gaussian:
		if _, err := b.network(network, z, "mean"); err != nil {
			return nil, err
		}
	case model.Bernoulli, model.GreyBernoulli, model.ContinuousBernoulli:
		if _, err := b.network(network, z, "logits"); err != nil {
			return nil, err
		}
		b.output("logits", joint.Pixels, "of the pixels")
		if _, continuous := joint.Likelihood.(model.ContinuousBernoulli); continuous {
			b.continuousMean("logits", "mean")
		} else {
			b.node("Sigmoid", "mean", "logits")
		}
	case model.DiscretizedLogistic, model.BetaBinomial, model.DequantisedGaussian, model.PixelGaussian:
		if _, err := b.network(network, z, "parameters"); err != nil {
			return nil, err
		}
		b.output("parameters", joint.Outputs(), "of the distribution of each pixel: of its channels the first numbers, then the second ones")
		b.meanOfPairs(likelihood, joint.Pixels, s.Dataset.Channels())
	default:
		return nil, &ConfigError{fmt.Errorf("the likelihood %s cannot be exported: want any other, or the weights as they are, which PyTorch reads", joint.Likelihood.Name())}
	}
	b.output("mean", joint.Pixels, fmt.Sprintf("E[x|z], images of %d x %d pixels, row by row from the top", s.Dataset.Rows(), s.Dataset.Cols()))
	m := s.exported(b, "decoder: z to E[x|z]")
	if _, ok := joint.Prior.(model.StandardNormal); !ok {
		m.Metadata["elbo.prior"] = joint.Prior.String()
	}
	if gaussian, ok := joint.Likelihood.(*model.Gaussian); ok {
		m.Metadata["elbo.variance"] = fmt.Sprint(float32(gaussian.Variance()))
	}
	return m, nil
}

// priorDoc says what p(z) is, and where to draw from it: the graph does not.
func priorDoc(p model.Prior) string {
	if _, ok := p.(model.StandardNormal); ok {
		return "p(z) = N(0, I)"
	}
	return fmt.Sprintf("p(z) is the %s of the checkpoint, not N(0, I): elbo sample draws from it", p)
}

// exported makes a file of a graph.
func (s *Setup) exported(b exported, doc string) *onnx.Model {
	return &onnx.Model{
		Producer: "elbo", Doc: doc, Graph: b.g,
		Metadata: map[string]string{
			"elbo.model":       s.Config.Model,
			"elbo.likelihood":  string(s.Config.Likelihood),
			"elbo.activation":  s.Config.Network().nonlinearity(),
			"elbo.binarise":    string(s.Config.Binarise),
			"elbo.rows":        fmt.Sprint(s.Dataset.Rows()),
			"elbo.cols":        fmt.Sprint(s.Dataset.Cols()),
			"elbo.data":        s.Dataset.Name,
			"elbo.data_sha256": s.Dataset.SHA256,
		},
	}
}

// exported is an ONNX graph that is built.
type exported struct{ g onnx.Graph }

func (b *exported) input(name string, width int, doc string) string {
	b.g.Inputs = append(b.g.Inputs, onnx.Value{Name: name, Doc: doc, Shape: []onnx.Dim{{Name: "N"}, {Size: width}}})
	return name
}

func (b *exported) output(name string, width int, doc string) {
	b.g.Outputs = append(b.g.Outputs, onnx.Value{Name: name, Doc: doc, Shape: []onnx.Dim{{Name: "N"}, {Size: width}}})
}

// node adds an operator with one result.
func (b *exported) node(op, result string, inputs ...string) string {
	b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: op, Inputs: inputs, Outputs: []string{result}})
	return result
}

// split cuts the columns of x into parts of the given widths.
func (b *exported) split(x, widths string, sizes []int, parts ...string) {
	var ints []int64
	for _, n := range sizes {
		ints = append(ints, int64(n))
	}
	b.g.Constants = append(b.g.Constants, onnx.Tensor{Name: widths, Shape: []int{len(ints)}, Ints: ints})
	b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: "Split", Inputs: []string{x, widths}, Outputs: parts, Ints: map[string]int64{"axis": 1}})
}

// join puts columns beside each other.
func (b *exported) join(result string, parts []string) {
	b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: "Concat", Inputs: parts, Outputs: []string{result}, Ints: map[string]int64{"axis": 1}})
}

// scalar adds a number.
func (b *exported) scalar(name string, value float32) string {
	b.g.Constants = append(b.g.Constants, onnx.Tensor{Name: name, Floats: []float32{value}})
	return name
}

// operator is that of an activation.
func operator(f graph.Activation) (string, error) {
	switch f {
	case graph.ReLU:
		return "Relu", nil
	case graph.Tanh:
		return "Tanh", nil
	case graph.ELU:
		return "Elu", nil
	case graph.Softplus:
		return "Softplus", nil
	}
	return "", &ConfigError{fmt.Errorf("the activation %s cannot be exported: want relu, tanh, elu or softplus", f)}
}

// network adds the layers of a network: y = x Wᵀ + b, with an activation or a gate between each
// two. Weights keep their names and shapes, [out, in].
func (b *exported) network(n model.Network, x, result string) (string, error) {
	var between func(layer, y string, width int) string
	switch n := n.(type) {
	case *model.Sequence:
		return b.sequence(n, x, result)
	case *graph.MLP:
		op, err := operator(n.Activation)
		if err != nil {
			return "", err
		}
		between = func(_, y string, _ int) string { return b.node(op, y+"."+string(n.Activation), y) }
	case *graph.Gated:
		between = b.gate
	default:
		return "", &ConfigError{fmt.Errorf("a network of type %T cannot be exported: want dense or gated layers, or convolutions", n)}
	}
	params := n.Params()
	for i := 0; i < len(params); i += 2 {
		weight, bias := params[i], params[i+1]
		for _, p := range []*graph.Param{weight, bias} {
			b.g.Constants = append(b.g.Constants, onnx.Tensor{Name: p.Name, Shape: p.Shape, Floats: p.Value})
		}
		layer, y := strings.TrimSuffix(weight.Name, ".weight"), result
		if i+2 < len(params) {
			y = layer + ".out"
		}
		b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: "Gemm", Inputs: []string{x, weight.Name, bias.Name}, Outputs: []string{y}, Ints: map[string]int64{"transB": 1}})
		x = y
		if i+2 < len(params) {
			x = between(layer, y, weight.Shape[0])
		}
	}
	return x, nil
}

// gate adds h ⊙ σ(g) of the rows y = [h | g] of a layer, of the given width.
func (b *exported) gate(layer, y string, width int) string {
	h, g := layer+".h", layer+".g"
	b.split(y, layer+".halves", []int{width / 2, width / 2}, h, g)
	return b.node("Mul", layer+".gated", h, b.node("Sigmoid", layer+".gate", g))
}

// continuousMean adds the mean of the continuous Bernoulli distribution with logits l,
//
//	E[x] = 1/2 + 1/(2 tanh(l/2)) - 1/l,  which near 0 is  1/2 + l/12 - l³/720 + l⁵/30240 - l⁷/1209600 + l⁹/47900160
//
// The series is taken for |l| < 1, where it is off by less than 1e-9; the difference above loses
// there what its terms have in common.
func (b *exported) continuousMean(logits, result string) {
	one, half := b.scalar("one", 1), b.scalar("half", 0.5)
	near := b.node("Less", "near", b.node("Abs", "abs", logits), one)

	l2 := b.node("Mul", "l2", logits, logits)
	sum := b.scalar("c9", 1./47900160)
	for i, c := range []float64{-1. / 1209600, 1. / 30240, -1. / 720, 1. / 12} {
		sum = b.node("Add", fmt.Sprintf("series_%d", i), b.node("Mul", fmt.Sprintf("term_%d", i), sum, l2), b.scalar(fmt.Sprintf("c%d", 7-2*i), float32(c)))
	}
	series := b.node("Mul", "series", sum, logits)

	l := b.node("Where", "l", near, one, logits) // no division by 0 where the series is taken
	coth := b.node("Div", "coth", half, b.node("Tanh", "tanh", b.node("Mul", "l_half", l, half)))
	difference := b.node("Sub", "difference", coth, b.node("Div", "inverse", one, l))

	b.node("Add", result, b.node("Where", "odd", near, series, difference), half)
}
