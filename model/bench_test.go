package model

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"elbo/graph/graphtest"
)

// BenchmarkEStep is one chunk of 2000 images of 784 pixels under a mixture of 500
// components, statistics included.
func BenchmarkEStep(b *testing.B) {
	const images, pixels, states = 2000, 784, 500
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("mixture_%d/workers_%d", states, workers), func(b *testing.B) {
			m, err := NewMixture(EMConfig{Pixels: pixels, States: states, Likelihood: BernoulliName, Prior: Shared, Smoothing: 0.1}, graphtest.Engine(workers))
			if err != nil {
				b.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			stats := m.NewStatistics()
			for k := range stats.Counts {
				stats.Counts[k] = 100
			}
			for i := range stats.Sums {
				stats.Sums[i] = 100 * rng.Float64()
			}
			if err := m.Maximise(stats); err != nil {
				b.Fatal(err)
			}
			e, err := m.NewEStep(images, true, false)
			if err != nil {
				b.Fatal(err)
			}
			for i := range e.X() {
				e.X()[i] = float32(rng.IntN(2))
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := e.Run(images); err != nil {
					b.Fatal(err)
				}
				e.AddStatistics(stats, images)
			}
			b.ReportMetric(float64(images*b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
