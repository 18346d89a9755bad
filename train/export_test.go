package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/train/onnx"
)

// TestAnExportedModelComputesWhatTheModelDoes: the files are read back by a reader of the test's
// own, which evaluates their graphs in float64, for every likelihood, activation and kind of layers. A row or a
// transposition that is wrong would be off by tenths.
func TestAnExportedModelComputesWhatTheModelDoes(t *testing.T) {
	for _, likelihood := range []model.LikelihoodName{model.BernoulliName, model.ContinuousBernoulliName, model.GaussianName, model.GreyBernoulliName, model.DiscretizedLogisticName, model.BetaBinomialName, model.DequantisedGaussianName} {
		for _, network := range []NetworkSettings{
			{Layers: model.Dense, Activation: graph.ReLU, Hidden: []int{9, 7}},
			{Layers: model.Dense, Activation: graph.Tanh, Hidden: []int{8}},
			{Layers: model.Dense, Activation: graph.ELU},
			{Layers: model.Dense, Activation: graph.Softplus, Hidden: []int{5, 4, 3}},
			{Layers: model.Gated, Activation: graph.ReLU, Hidden: []int{9, 7}},
		} {
			t.Run(fmt.Sprintf("%s %s", likelihood, network.nonlinearity()), func(t *testing.T) {
				c := smallConfig(t)
				c.Likelihood, c.Binarise = likelihood, data.Static
				if likelihood != model.BernoulliName {
					c.Binarise = data.None
				}
				n := c.network()
				n.Layers, n.Activation, n.Hidden = network.Layers, network.Activation, network.Hidden
				s := newTestSetup(t, c)
				for _, p := range s.Params() {
					for i := range p.Value { // logits from 0 to beyond 1, where means are computed in two ways
						p.Value[i] *= 3
					}
				}
				if err := s.refresh(); err != nil {
					t.Fatal(err)
				}
				compareExported(t, s)
			})
		}
	}
}

// TestLayersAreExportedAsTheyEncodeAndDecode: the code is z = [z_1 | z_2], of which the
// decoder reads z_1.
func TestLayersAreExportedAsTheyEncodeAndDecode(t *testing.T) {
	s := newTestSetup(t, layeredConfig(t))
	compareExported(t, s)
	encoder, err := s.EncoderONNX()
	if err != nil {
		t.Fatal(err)
	}
	out := evaluateONNX(t, encoder, "x", matrix{rows: 1, cols: 36, v: make([]float64, 36)})
	if len(out["mu"].v) != 5 || len(out["logvar"].v) != 5 {
		t.Errorf("%d means and %d variances, want 5 of each", len(out["mu"].v), len(out["logvar"].v))
	}
}

func compareExported(t *testing.T, s *Setup) {
	t.Helper()
	v := s.Validation
	codes, err := s.Encode(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := s.EncoderONNX()
	if err != nil {
		t.Fatal(err)
	}
	x := v.AllEvaluated()
	out := evaluateONNX(t, encoder, "x", matrix{rows: v.N(), cols: v.D(), v: wide(x)})
	sameNumbers(t, "mu", out["mu"].v, wide(codes.Mean))
	for i, logvar := range out["logvar"].v {
		out["logvar"].v[i] = math.Exp(logvar)
	}
	if codes.Variance != nil {
		sameNumbers(t, "exp logvar", out["logvar"].v, wide(codes.Variance))
	}
	compareDecoder(t, s, codes.Mean)
}

// compareDecoder decodes codes, and 0.
func compareDecoder(t *testing.T, s *Setup, z []float32) {
	t.Helper()
	joint, err := s.Joint()
	if err != nil {
		t.Fatal(err)
	}
	z = append(make([]float32, joint.Latent), z...)
	n := len(z) / joint.Latent
	decoder, err := s.DecoderONNX()
	if err != nil {
		t.Fatal(err)
	}
	out := evaluateONNX(t, decoder, "z", matrix{rows: n, cols: joint.Latent, v: wide(z)})
	means, err := s.Decode(z)
	if err != nil {
		t.Fatal(err)
	}
	sameNumbers(t, "mean", out["mean"].v, wide(means))
	if s.Config.Likelihood == model.GaussianName {
		if _, there := out["logits"]; there {
			t.Error("a Gaussian has logits")
		}
		return
	}
	d, err := joint.NewDecoder(n)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := d.Outputs(z)
	if err != nil {
		t.Fatal(err)
	}
	if joint.Outputs() > joint.Pixels {
		sameNumbers(t, "parameters", out["parameters"].v, wide(logits))
		return
	}
	sameNumbers(t, "logits", out["logits"].v, wide(logits))
	near := 0
	for _, l := range logits {
		if math.Abs(float64(l)) < 1 {
			near++
		}
	}
	if s.Config.Likelihood == model.ContinuousBernoulliName && (near == 0 || near == len(logits)) {
		t.Errorf("%d of %d logits are within 1 of 0: want some and not all", near, len(logits))
	}
}

// TestADecoderOfAGridIsExportedAndAMixtureIsNot: with what there is instead.
func TestADecoderOfAGridIsExportedAndAMixtureIsNot(t *testing.T) {
	c := DefaultConfig(GridModel)
	c.Data, c.Binarise, c.Split = writeSynthetic(t), data.Static, []int{90, 30}
	c.network().Hidden = []int{6}
	c.Settings.(*GridSettings).Grid = []int{3, 3}
	s := newTestSetup(t, c)
	compareDecoder(t, s, []float32{1, -1, 0.3, 2})
	if _, err := s.EncoderONNX(); !isConfigError(err) {
		t.Errorf("the encoder of a grid: %v, want a ConfigError", err)
	}
	c = DefaultConfig(MixtureModel)
	c.Data, c.Binarise, c.Split = writeSynthetic(t), data.Static, []int{90, 30}
	c.Settings.(*MixtureSettings).Components = 3
	s = newTestSetup(t, c)
	if _, err := s.EncoderONNX(); !isConfigError(err) {
		t.Errorf("the encoder of a mixture: %v, want a ConfigError", err)
	}
	if _, err := s.DecoderONNX(); !isConfigError(err) {
		t.Errorf("the decoder of a mixture: %v, want a ConfigError", err)
	}
}

func isConfigError(err error) bool {
	_, ok := errors.AsType[*ConfigError](err)
	return ok
}

// sameNumbers compares a graph in float64 with the model's float32: a layer sums at most 36
// products, each layer's rounding is below 37 · 2⁻²⁴ of their sizes, which come to less than ten
// times the result, and there are at most four layers.
func sameNumbers(t *testing.T, name string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d numbers, want %d", name, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= 1e-4*(1+math.Abs(want[i]))) {
			t.Fatalf("%s[%d] is %g, the model has %g", name, i, got[i], want[i])
		}
	}
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// matrix is an array of the test's evaluator; a number is 1 x 1.
type matrix struct {
	rows, cols int
	v          []float64
	shape      []int // of each row, where it is a map
}

// evaluateONNX encodes a model, reads the bytes and evaluates the graph for one input.
func evaluateONNX(t *testing.T, m *onnx.Model, input string, x matrix) map[string]matrix {
	t.Helper()
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	top := messageOf(t, file)
	if ir := top.number(1); ir != 8 {
		t.Errorf("IR version %d, want 8", ir)
	}
	if opset := messageOf(t, top[8][0].bytes); len(top[8]) != 1 || opset.number(2) != 17 {
		t.Errorf("opset %v, want 17", opset)
	}
	g := messageOf(t, top[7][0].bytes)
	values := map[string]matrix{}
	for _, c := range g[5] {
		name, constant := constantOf(t, c.bytes)
		values[name] = constant
	}
	if len(g[11]) != 1 {
		t.Fatalf("%d inputs, want one", len(g[11]))
	}
	checkValue(t, g[11][0].bytes, input, x.cols)
	values[input] = x
	for _, n := range g[1] {
		node := messageOf(t, n.bytes)
		var in []matrix
		for _, name := range node.texts(1) {
			value, ok := values[name]
			if !ok {
				t.Fatalf("%s takes %s, which nothing gives", node.texts(4), name)
			}
			in = append(in, value)
		}
		results := operate(t, node.texts(4)[0], node, in)
		for i, name := range node.texts(2) {
			if _, twice := values[name]; twice {
				t.Fatalf("%s is given twice", name)
			}
			values[name] = results[i]
		}
	}
	outputs := map[string]matrix{}
	for _, o := range g[12] {
		name := messageOf(t, o.bytes).texts(1)[0]
		checkValue(t, o.bytes, name, values[name].cols)
		outputs[name] = values[name]
	}
	return outputs
}

// checkValue fails unless an input or output is float32 [N, width] with N free.
func checkValue(t *testing.T, b []byte, name string, width int) {
	t.Helper()
	v := messageOf(t, b)
	tensor := messageOf(t, messageOf(t, v[2][0].bytes)[1][0].bytes)
	dims := messageOf(t, tensor[2][0].bytes)[1]
	if v.texts(1)[0] != name || tensor.number(1) != 1 || len(dims) != 2 {
		t.Fatalf("%s is no float32 matrix %s", v.texts(1), name)
	}
	if free := messageOf(t, dims[0].bytes).texts(2); len(free) != 1 || free[0] != "N" {
		t.Errorf("%s: the batch is %v, want N", name, free)
	}
	if w := messageOf(t, dims[1].bytes).number(1); w != uint64(width) {
		t.Errorf("%s has %d columns, want %d", name, w, width)
	}
}

// operate evaluates an operator, as the standard has it.
func operate(t *testing.T, op string, node fields, in []matrix) []matrix {
	each := func(f func(...float64) float64) []matrix { // with numbers for every element
		out := matrix{rows: 1, cols: 1}
		for _, m := range in {
			out.rows, out.cols, out.shape = max(out.rows, m.rows), max(out.cols, m.cols), m.shape
		}
		for i := range out.rows * out.cols {
			var args []float64
			for _, m := range in {
				args = append(args, m.v[i%len(m.v)])
			}
			out.v = append(out.v, f(args...))
		}
		return []matrix{out}
	}
	switch op {
	case "Gemm": // x Wᵀ + b
		attribute := messageOf(t, node[5][0].bytes)
		if attribute.texts(1)[0] != "transB" || attribute.number(3) != 1 || attribute.number(20) != 2 {
			t.Fatal("Gemm without transB")
		}
		x, w, bias := in[0], in[1], in[2]
		out := matrix{rows: x.rows, cols: w.rows}
		for r := range x.rows {
			for o := range w.rows {
				sum := bias.v[o]
				for k := range w.cols {
					sum += x.v[r*x.cols+k] * w.v[o*w.cols+k]
				}
				out.v = append(out.v, sum)
			}
		}
		return []matrix{out}
	case "Reshape", "Transpose", "Flatten", "Conv", "ConvTranspose":
		return []matrix{operateOnMaps(t, op, node, in)}
	case "Split":
		var out []matrix
		from := 0
		for _, size := range in[1].v {
			part := matrix{rows: in[0].rows, cols: int(size)}
			for r := range in[0].rows {
				part.v = append(part.v, in[0].v[r*in[0].cols+from:][:int(size)]...)
			}
			out, from = append(out, part), from+int(size)
		}
		return out
	case "Concat":
		var out matrix
		for r := range in[0].rows {
			for _, part := range in {
				out.v = append(out.v, part.v[r*part.cols:][:part.cols]...)
			}
		}
		return []matrix{{rows: in[0].rows, cols: len(out.v) / in[0].rows, v: out.v}}
	case "Relu":
		return each(func(a ...float64) float64 { return max(a[0], 0) })
	case "Tanh":
		return each(func(a ...float64) float64 { return math.Tanh(a[0]) })
	case "Elu":
		return each(func(a ...float64) float64 { return max(a[0], 0) + math.Expm1(min(a[0], 0)) })
	case "Softplus":
		return each(func(a ...float64) float64 { return max(a[0], 0) + math.Log1p(math.Exp(-math.Abs(a[0]))) })
	case "Sigmoid":
		return each(func(a ...float64) float64 { return 1 / (1 + math.Exp(-a[0])) })
	case "Exp":
		return each(func(a ...float64) float64 { return math.Exp(a[0]) })
	case "Max":
		return each(func(a ...float64) float64 { return max(a[0], a[1]) })
	case "Min":
		return each(func(a ...float64) float64 { return min(a[0], a[1]) })
	case "Abs":
		return each(func(a ...float64) float64 { return math.Abs(a[0]) })
	case "Add":
		return each(func(a ...float64) float64 { return a[0] + a[1] })
	case "Sub":
		return each(func(a ...float64) float64 { return a[0] - a[1] })
	case "Mul":
		return each(func(a ...float64) float64 { return a[0] * a[1] })
	case "Div":
		return each(func(a ...float64) float64 { return a[0] / a[1] })
	case "Less":
		return each(func(a ...float64) float64 {
			if a[0] < a[1] {
				return 1
			}
			return 0
		})
	case "Where":
		return each(func(a ...float64) float64 {
			if a[0] != 0 {
				return a[1]
			}
			return a[2]
		})
	}
	t.Fatalf("unknown operator %s", op)
	return nil
}

func constantOf(t *testing.T, b []byte) (string, matrix) {
	t.Helper()
	f := messageOf(t, b)
	m := matrix{rows: 1, cols: 1}
	for i, d := range f[1] {
		switch {
		case len(f[1]) == 4:
			m.shape = append(m.shape, int(d.number))
			m.cols *= int(d.number)
		case i == len(f[1])-1:
			m.cols = int(d.number)
		default:
			m.rows = int(d.number)
		}
	}
	raw := f[9][0].bytes
	for len(raw) > 0 {
		if f.number(2) == 7 {
			v, n := protowire.ConsumeFixed64(raw)
			m.v, raw = append(m.v, float64(int64(v))), raw[n:]
			continue
		}
		v, n := protowire.ConsumeFixed32(raw)
		m.v, raw = append(m.v, float64(math.Float32frombits(v))), raw[n:]
	}
	if len(m.v) != m.rows*m.cols {
		t.Fatalf("%s has %d numbers, want %d", f.texts(8), len(m.v), m.rows*m.cols)
	}
	return f.texts(8)[0], m
}

// fields are those of a protocol buffer, by their numbers.
type fields map[protowire.Number][]field

type field struct {
	number uint64
	bytes  []byte
}

func messageOf(t *testing.T, b []byte) fields {
	t.Helper()
	f := fields{}
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var one field
		switch typ {
		case protowire.VarintType:
			one.number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			one.bytes, n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d has type %d", number, typ)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		f[number], b = append(f[number], one), b[n:]
	}
	return f
}

func (f fields) number(n protowire.Number) uint64 {
	if len(f[n]) == 0 {
		return 0
	}
	return f[n][0].number
}

func (f fields) texts(n protowire.Number) (texts []string) {
	for _, one := range f[n] {
		texts = append(texts, string(one.bytes))
	}
	return texts
}
