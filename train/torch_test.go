package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
)

// torchReference is a file of testdata/torch; the recipe beside it says what it holds.
type torchReference struct {
	Torch string
	Cases []torchCase
}

type torchCase struct {
	Name   string
	Config struct {
		Rows, Cols, Latent, K, Batch      int
		Hidden                            []int
		Layers                            model.Layers
		Network                           model.NetworkName // missing: dense
		Activation, Likelihood, Objective string
		Channels, Kernel, Stride, Blocks  int // missing, or 0, where there are none
		Widths                            []int
		Mixtures                          int
		Gradient                          string
		Posterior                         model.PosteriorName
		Prior                             model.PriorName
		Components                        int       // of the prior
		Own                               []float32 // of each image of a batch
		Flow                              model.FlowName
		FlowLayers                        int `json:"flow_layers"`
		FlowHidden                        int `json:"flow_hidden"`
		Beta, LR                          float64
		Variance                          any
	}
	Params  []torchTensor
	Batches []struct{ X, Eps, Weight []float32 }
	Terms   struct {
		Recon, KL, Bound []float64
		Loss             float64
	}
	Grads []torchTensor
	After struct {
		Losses   []float64
		Params   []torchTensor
		ExpAvg   []torchTensor `json:"exp_avg"`
		ExpAvgSq []torchTensor `json:"exp_avg_sq"`
	}
}

type torchTensor struct {
	Name  string
	Shape []int
	Data  []float64
}

// torchTolerance is relative to the largest element of a tensor. PyTorch
// itself, in float32, differs from the reference by up to 2e-6.
const torchTolerance = 1e-4

// TestTermsGradientsAndTenAdamStepsMatchPyTorch trains on the batches of the
// reference and compares all that PyTorch computed. There a learned variance is a
// parameter of Adam's, and so it is here: its gradient, and Adam, are what is compared.
// Run sets the variance from that gradient (model's SolveVariance, which has its own
// tests).
func TestTermsGradientsAndTenAdamStepsMatchPyTorch(t *testing.T) {
	for file, cases := range map[string]int{"reference.json": 9, "gradients.json": 5, "networks.json": 1, "families.json": 6, "priors.json": 6, "layers.json": 6, "convolutions.json": 3, "levels.json": 7} {
		text, err := os.ReadFile(filepath.Join("testdata", "torch", file))
		if err != nil {
			t.Fatal(err)
		}
		var ref torchReference
		if err := json.Unmarshal(text, &ref); err != nil {
			t.Fatal(err)
		}
		if len(ref.Cases) != cases {
			t.Fatalf("%s: %d cases, want %d", file, len(ref.Cases), cases)
		}
		for _, c := range ref.Cases {
			t.Run(c.Name, func(t *testing.T) { compareWithTorch(t, c) })
		}
	}
}

func compareWithTorch(t *testing.T, c torchCase) {
	variance, _ := c.Config.Variance.(float64)
	engine := graphtest.Engine(2)
	image := model.MapShape{Rows: c.Config.Rows, Cols: c.Config.Cols, Channels: max(1, c.Config.Channels)}
	m, err := model.NewVAE(model.VAEConfig{
		Conv:   model.ConvConfig{Image: image, Widths: c.Config.Widths, Kernel: c.Config.Kernel, Stride: c.Config.Stride, Blocks: c.Config.Blocks},
		Pixels: image.Size(), Hidden: c.Config.Hidden, Latent: c.Config.Latent, Layers: c.Config.Layers,
		Network: c.Config.Network, Activation: graph.Activation(c.Config.Activation), Likelihood: model.LikelihoodName(c.Config.Likelihood),
		Variance: variance, PixelVariance: c.Config.Variance == "pixel", Mixtures: c.Config.Mixtures, Channels: image.Channels, Objective: model.Objective(c.Config.Objective), Gradient: model.Gradient(c.Config.Gradient), Draws: c.Config.K,
		Posterior: model.PosteriorConfig{Name: c.Config.Posterior}, Prior: model.PriorConfig{Name: c.Config.Prior, Components: c.Config.Components},
		Flow: model.FlowConfig{Name: c.Config.Flow, Layers: c.Config.FlowLayers, Hidden: c.Config.FlowHidden},
	}, engine, func(string) graph.Uniform { return half{} })
	if err != nil {
		t.Fatal(err)
	}
	params := m.Params()
	if len(params) != len(c.Params) {
		t.Fatalf("%d parameters, want %d", len(params), len(c.Params))
	}
	for i, p := range params {
		if p.Name != c.Params[i].Name || fmt.Sprint(p.Shape) != fmt.Sprint(c.Params[i].Shape) {
			t.Fatalf("parameter %d is %s %v, want %s %v", i, p.Name, p.Shape, c.Params[i].Name, c.Params[i].Shape)
		}
		for j, v := range c.Params[i].Data {
			p.Value[j] = float32(v)
		}
	}
	if err := m.CompileStep(c.Config.Batch); err != nil {
		t.Fatal(err)
	}
	trained := slices.DeleteFunc(slices.Clone(params), func(p *graph.Param) bool {
		prior, ok := m.Prior.(model.Untrained)
		return ok && slices.Contains(prior.Untrained(), p)
	})
	adam := NewAdam(c.Config.LR, trained, engine)
	for step, batch := range c.Batches {
		images := 0
		for _, w := range batch.Weight {
			images += int(w)
		}
		totals, err := m.Step(&model.Batch{Images: images, X: batch.X, Eps: batch.Eps, Own: c.Config.Own, Beta: float32(c.Config.Beta)})
		if err != nil {
			t.Fatal(err)
		}
		mean := totals.Mean()
		objective := mean.Bound
		if c.Config.Objective == "elbo" {
			objective = mean.Recon - c.Config.Beta*mean.KL
		}
		if step == 0 {
			within(t, "recon", []float64{mean.Recon}, []float64{average(c.Terms.Recon[:images])})
			within(t, "kl", []float64{mean.KL}, []float64{average(c.Terms.KL[:images])})
			within(t, "bound", []float64{objective}, []float64{average(c.Terms.Bound[:images])})
			for i, g := range c.Grads {
				within(t, "gradient of "+g.Name, float64s(m.Grad(i)), g.Data)
			}
		}
		within(t, fmt.Sprintf("loss of step %d", step+1), []float64{-objective}, []float64{c.After.Losses[step]})
		adam.Step(m.Grad)
		if prior, ok := m.Prior.(model.Projected); ok {
			prior.Project()
		}
	}
	moments := adam.Moments()
	for i, p := range params {
		within(t, p.Name+" after ten steps", float64s(p.Value), c.After.Params[i].Data)
	}
	for i, p := range trained {
		within(t, "adam.m of "+p.Name, float64s(moments[2*i].Data), c.After.ExpAvg[i].Data)
		within(t, "adam.v of "+p.Name, float64s(moments[2*i+1].Data), c.After.ExpAvgSq[i].Data)
	}
}

func within(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	scale := 0.0
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	for i, w := range want {
		if d := math.Abs(got[i] - w); !(d <= torchTolerance*scale) {
			t.Errorf("%s: element %d is %.8g, want %.8g", what, i, got[i], w)
			return
		}
	}
}

func average(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func float64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// half is a source of initial values that are all 0.
type half struct{}

func (half) Float64() float64 { return 0.5 }
