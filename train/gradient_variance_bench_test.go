package train

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// BenchmarkGradientVariance measures, on a small trained model and one batch, how much noise
// the draws of z put into the gradient g of the encoder's parameters: snr is
// |E g| / √(tr Cov g), sd is √(tr Cov g). cmd/elbo/doc/models.md has its table.
func BenchmarkGradientVariance(b *testing.B) {
	trained := gradientVarianceModel(b)
	for _, k := range []int{1, 5, 50} {
		for _, e := range []struct {
			objective model.Objective
			gradient  model.Gradient
		}{{model.ELBO, model.StandardGradient}, {model.ELBO, model.STL}, {model.IWAE, model.StandardGradient}, {model.IWAE, model.DReG}} {
			b.Run(fmt.Sprintf("%s/k=%d/%s", e.objective, k, e.gradient), func(b *testing.B) {
				m := *vaeOf(trained) // the parameters are shared
				m.Objective, m.Gradient, m.Draws = e.objective, e.gradient, k
				var snr, sd float64
				for b.Loop() {
					snr, sd = encoderNoise(b, trained, &m)
				}
				b.ReportMetric(snr, "snr")
				b.ReportMetric(sd, "sd")
			})
		}
	}
}

// gradientVarianceModel is a small VAE after five epochs on MNIST.
func gradientVarianceModel(b *testing.B) *Setup {
	b.Helper()
	c := DefaultConfig(VAEModel)
	c.network().Hidden, c.network().Latent, c.network().Activation, c.vae().Batch = []int{100}, 10, graph.Tanh, 20
	c.Binarise, c.Workers, c.Limit, c.Epochs, c.Split = data.Threshold, 2, 5000, 5, []int{50_000, 0}
	s := newTestSetup(b, c)
	m := vaeOf(s)
	if err := m.CompileStep(c.vae().Batch); err != nil {
		b.Fatal(err)
	}
	adam := NewAdam(c.network().LR, m.Trained(), s.Engine)
	batches := newFeed(s, *c.vae(), m, 1, 0)
	for range c.Epochs * c.Limit / c.vae().Batch {
		batch := batches.next()
		if _, err := m.Step(&batch.Batch); err != nil {
			b.Fatal(err)
		}
		adam.Step(m.Grad)
	}
	return s
}

// encoderNoise estimates the two figures from draws of the noise for one batch. The squared
// length of a mean of n gradients is too long by tr Cov g / n.
func encoderNoise(b *testing.B, s *Setup, m *model.VAE) (snr, sd float64) {
	const images, n = 20, 400
	if err := m.CompileStep(images); err != nil {
		b.Fatal(err)
	}
	batch := m.NewBatch(images)
	batch.Images = images
	for i := range images {
		s.Train.Evaluated(batch.X[i*m.Pixels:][:m.Pixels], i)
	}
	noise := data.NewStream(1, "gradient variance")
	var mean, square []float64
	for range n {
		for i := range batch.Eps {
			batch.Eps[i] = float32(noise.NormFloat64())
		}
		if _, err := m.Step(batch); err != nil {
			b.Fatal(err)
		}
		at := 0
		for i, p := range m.Trained() {
			if !strings.HasPrefix(p.Name, string(model.EncoderPart)+".") {
				continue
			}
			for _, g := range m.Grad(i) {
				if at == len(mean) {
					mean, square = append(mean, 0), append(square, 0)
				}
				mean[at], square[at] = mean[at]+float64(g)/n, square[at]+float64(g)*float64(g)/n
				at++
			}
		}
	}
	var trace, length float64
	for i, v := range mean {
		trace += (square[i] - v*v) * n / (n - 1)
		length += v * v
	}
	return math.Sqrt(max(0, length-trace/n) / trace), math.Sqrt(trace)
}
