package train

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"elbo/data"
	"elbo/graph"
	"elbo/train/run"
)

// scale is a model and its data, by the extents that cost grows with.
type scale struct{ images, side, hidden, latent, batch, components int }

func (s scale) String() string {
	if s.components > 0 {
		return fmt.Sprintf("em/N=%d,D=%d,K=%d", s.images, s.side*s.side, s.components)
	}
	return fmt.Sprintf("vae/N=%d,D=%d,hidden=%d,Z=%d,batch=%d", s.images, s.side*s.side, s.hidden, s.latent, s.batch)
}

// flop is what the matrix products of an epoch, or an iteration of EM, cost: two a
// multiplication, thrice for a weight's gradients, none for the first layer's pixels.
func (s scale) flop() float64 {
	n, d := float64(s.images), float64(s.side*s.side)
	if s.components > 0 {
		return 4 * n * d * float64(s.components)
	}
	h, z := float64(s.hidden), float64(s.latent)
	return n * (6*(d*h+2*h*z+z*h+h*d) - 2*d*h)
}

// BenchmarkScaling times an epoch of a VAE, or an iteration of EM, and divides it by what
// a straight line through the first of its kind would say: cost in proportion to the
// matrix products. cmd/elbo/doc/speed.md has its table.
func BenchmarkScaling(b *testing.B) {
	vae := scale{images: 10_000, side: 28, hidden: 400, latent: 20, batch: 128}
	em := scale{images: 10_000, side: 28, components: 200}
	vary := func(s scale, change func(*scale)) scale {
		change(&s)
		return s
	}
	for _, family := range [][]scale{{
		vae,
		vary(vae, func(s *scale) { s.images = 40_000 }),
		vary(vae, func(s *scale) { s.side = 14 }), vary(vae, func(s *scale) { s.side = 56 }),
		vary(vae, func(s *scale) { s.hidden = 100 }), vary(vae, func(s *scale) { s.hidden = 1600 }),
		vary(vae, func(s *scale) { s.latent = 2 }), vary(vae, func(s *scale) { s.latent = 200 }),
		vary(vae, func(s *scale) { s.batch = 16 }), vary(vae, func(s *scale) { s.batch = 64 }), vary(vae, func(s *scale) { s.batch = 512 }),
	}, {
		em,
		vary(em, func(s *scale) { s.images = 40_000 }),
		vary(em, func(s *scale) { s.side = 14 }), vary(em, func(s *scale) { s.side = 56 }),
		vary(em, func(s *scale) { s.components = 50 }), vary(em, func(s *scale) { s.components = 800 }),
	}} {
		unit := math.NaN() // seconds a FLOP, of the first
		for _, s := range family {
			b.Run(s.String(), func(b *testing.B) {
				once := s.epoch(b)
				best := math.Inf(1)
				for b.Loop() {
					began := time.Now()
					once()
					best = min(best, time.Since(began).Seconds())
				}
				if s == family[0] {
					unit = best / s.flop()
				}
				b.ReportMetric(1000*best, "ms")
				b.ReportMetric(best/(unit*s.flop()), "of-the-line")
			})
		}
	}
}

// epoch returns a function that does one epoch, or one iteration of EM.
func (s scale) epoch(b *testing.B) func() {
	b.Helper()
	path := filepath.Join(b.TempDir(), "images.npy")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	images := data.Synthetic(s.images, s.side, s.side, 1)
	err = data.WriteFloatsNPY(file, s.images, s.side*s.side, func(yield func([]float32) bool) {
		row := make([]float32, s.side*s.side)
		for i := range s.images {
			for j := range row {
				row[j] = float32(images.Bytes[i*len(row)+j]) / 255
			}
			if !yield(row) {
				return
			}
		}
	})
	if err != nil || file.Close() != nil {
		b.Fatal(err)
	}
	kind := VAEModel
	if s.components > 0 {
		kind = MixtureModel
	}
	c := DefaultConfig(kind)
	c.Data, c.Split, c.Binarise, c.Workers, c.Epochs = path, []int{s.images, 0}, data.Threshold, 2, 1<<30
	if kind == VAEModel {
		c.network().Hidden, c.network().Latent, c.vae().Batch, c.network().Activation = []int{s.hidden}, s.latent, s.batch, graph.ReLU
	} else {
		c.mixture().Components = s.components
	}
	setup := newTestSetup(b, c)
	if tableOf(setup) != nil {
		dir, err := run.Create(filepath.Join(b.TempDir(), "run"), c.JSON(), nil)
		if err != nil {
			b.Fatal(err)
		}
		closed := newClosedStep(setup, mixtureOf(setup))
		r := newEM(&Fitting{Setup: setup, Dir: dir, Now: time.Now, Saved: -1}, tableOf(setup), closed)
		r.method = r
		if err := r.Begin(nil); err != nil {
			b.Fatal(err)
		}
		return func() {
			if _, err := r.expect(); err != nil {
				b.Fatal(err)
			}
			if err := closed.maximise(r); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := vaeOf(setup).CompileStep(setup.Config.vae().Batch); err != nil {
		b.Fatal(err)
	}
	adam := NewAdam(setup.Config.network().LR, vaeOf(setup).Params(), setup.Engine)
	batches := newFeed(setup, *setup.Config.vae(), vaeOf(setup), 1, 0)
	return func() {
		for seen := 0; seen < s.images; {
			batch := batches.next()
			if _, err := vaeOf(setup).Step(&batch.Batch); err != nil {
				b.Fatal(err)
			}
			adam.Step(vaeOf(setup).Grad)
			seen += batch.Images
		}
	}
}
