package train

import (
	"context"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
)

// BenchmarkTrainingStep is a whole step as Run takes it: a batch out of the feed, terms
// and gradients, Adam.
func BenchmarkTrainingStep(b *testing.B) {
	wide := DefaultConfig(VAEModel)
	wide.Binarise = data.Threshold
	deep := wide.Clone()
	deep.network().Hidden, deep.network().Latent, deep.network().Activation, deep.vae().Batch, deep.Binarise = []int{200, 200}, 50, graph.Tanh, 20, data.Dynamic
	for _, c := range []struct {
		name   string
		config Config
	}{{"vae_784_400_20_b128_threshold", wide}, {"vae_784_200_200_50_b20_dynamic", deep}} {
		b.Run(c.name, func(b *testing.B) {
			c.config.Workers, c.config.Epochs, c.config.Split = 2, 1<<30, []int{60_000, 0}
			s := newTestSetup(b, c.config)
			if err := vaeOf(s).CompileStep(s.Config.vae().Batch); err != nil {
				b.Fatal(err)
			}
			adam := NewAdam(s.Config.network().LR, vaeOf(s).Params(), s.Engine)
			batches := newFeed(s, *s.Config.vae(), vaeOf(s), 1, 0)
			images := 0
			b.ReportAllocs()
			for b.Loop() {
				batch := batches.next()
				if _, err := vaeOf(s).Step(&batch.Batch); err != nil {
					b.Fatal(err)
				}
				adam.Step(vaeOf(s).Grad)
				images += batch.Images
			}
			b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkImportanceWeighted is L_1000 of one image.
func BenchmarkImportanceWeighted(b *testing.B) {
	c := DefaultConfig(VAEModel)
	c.network().Hidden, c.network().Latent, c.network().Activation, c.Workers = []int{200, 200}, 50, graph.Tanh, 2
	c.Binarise, c.vae().Objective = data.Threshold, model.ELBO
	s := newTestSetup(b, c)
	e, err := infer.NewEvaluator(vaeOf(s), 1000)
	if err != nil {
		b.Fatal(err)
	}
	v := s.Test
	v.Subset = v.First(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Evaluate(context.Background(), v, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "draws/s")
}
