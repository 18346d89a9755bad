package train

import (
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/elementary"
	"elbo/model"
	"elbo/model/infer"
)

// Init says where the components of a mixture begin, by its name in flags and files.
type Init string

// The ways to begin. Each is a choice of first statistics, which an M-step turns into
// parameters.
const (
	FromImages Init = "images"   // each component at another random image
	KMeansPP   Init = "kmeans++" // at images that are far apart
	FromRandom Init = "random"   // each image gets random responsibilities
)

// Inits lists them all.
var Inits = []Init{FromImages, KMeansPP, FromRandom}

// ParseInit returns the way to begin of that name.
func ParseInit(name string) (Init, error) {
	if !slices.Contains(Inits, Init(name)) {
		return "", fmt.Errorf("unknown init %q, want images, kmeans++ or random", name)
	}
	return Init(name), nil
}

// firstStatistics returns the statistics that a mixture begins with, a function of
// the seed and the data.
//
// A component that begins at an image x is given the weight N/K, and the pixels
// ¼ + ½ x for a Bernoulli likelihood, so that no pixel is certain; x itself with the
// given variance, that of all pixels, for a Gaussian.
func (s *Setup) firstStatistics(m *model.EM, variance float64) *model.Statistics {
	own := SettingsOf[MixtureSettings](s.Config)
	stream := data.NewStream(s.Config.Seed, "init/components", uint64(own.Restart))
	stats := m.NewStatistics()
	n, k, d := s.Train.N(), m.Config.States, s.Train.D()
	stats.Images = float64(n)
	if own.Init == FromRandom {
		s.randomResponsibilities(stats, stream)
		return stats
	}
	chosen := s.distinctImages(k, stream)
	if own.Init == KMeansPP {
		chosen = s.farImages(k, stream)
	}
	x := make([]float32, d)
	weight := float64(n) / float64(k)
	if s.Config.Likelihood.Pixels() == model.LevelPixels {
		s.firstLevels(stats, chosen, weight)
		return stats
	}
	for c, image := range chosen {
		s.Train.Evaluated(x, image)
		stats.Counts[c] = weight
		for j, v := range x {
			if stats.Squares == nil {
				stats.Sums[c*d+j] = weight * (0.25 + float64(0.5*float64(v)))
			} else {
				stats.Centre[c*d+j], stats.Squares[c*d+j] = v, weight*variance
			}
		}
	}
	return stats
}

// firstLevels gives each component half the levels of an image, and half those that a value has in
// all images.
func (s *Setup) firstLevels(stats *model.Statistics, chosen []int, weight float64) {
	k, n := len(chosen), s.Train.N()
	x := make([]float32, s.Train.D())
	often := make([]float64, len(x)*graph.Levels) // of all images
	for i := range n {
		s.Train.Evaluated(x, i)
		for j, v := range x {
			often[j*graph.Levels+levelOf(v)]++
		}
	}
	half := float64(weight / 2)
	for c, image := range chosen {
		s.Train.Evaluated(x, image)
		stats.Counts[c] = weight
		for i, count := range often {
			stats.Sums[i*k+c] = half * (count / float64(n))
		}
		for j, v := range x {
			stats.Sums[(j*graph.Levels+levelOf(v))*k+c] += half
		}
	}
}

// levelOf is the level of a grey level in [0, 1].
func levelOf(x float32) int { return int(math.Round(float64(x) * (graph.Levels - 1))) }

// distinctImages returns k different images in random order.
func (s *Setup) distinctImages(k int, stream *data.Stream) []int {
	images := make([]int, s.Train.N())
	for i := range images {
		images[i] = i
	}
	for i := range k {
		j := i + stream.IntN(len(images)-i)
		images[i], images[j] = images[j], images[i]
	}
	return images[:k]
}

// farImages chooses each next image with a probability in proportion to its squared
// distance from the nearest one chosen before (k-means++; Arthur and Vassilvitskii
// 2007).
func (s *Setup) farImages(k int, stream *data.Stream) []int {
	n, d := s.Train.N(), s.Train.D()
	pixels := s.Train.AllEvaluated()
	nearest := make([]float64, n)
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	chosen := []int{stream.IntN(n)}
	for len(chosen) < k {
		centre := pixels[chosen[len(chosen)-1]*d:][:d]
		s.Engine.Split(n, 64, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				sum := float32(0)
				for j, v := range pixels[i*d:][:d] {
					sum += float32((v - centre[j]) * (v - centre[j]))
				}
				nearest[i] = min(nearest[i], float64(sum))
			}
		})
		total := 0.0
		for _, v := range nearest {
			total += v
		}
		target, next := stream.Float64()*total, n-1
		for i, v := range nearest {
			if target -= v; target < 0 {
				next = i
				break
			}
		}
		chosen = append(chosen, next)
	}
	return chosen
}

// randomResponsibilities gives each image a point of the simplex, uniform up to a
// power that sharpens it, so that components differ.
func (s *Setup) randomResponsibilities(stats *model.Statistics, stream *data.Stream) {
	k, d := len(stats.Counts), s.Train.D()
	x, q := make([]float32, d), make([]float64, k)
	centre := make([]float32, d)
	if stats.Centre != nil { // near all components: they begin as means of nearly all images
		for j, p := range s.pixelMoments() {
			centre[j] = float32(p.Mean)
		}
		for c := range k {
			copy(stats.Centre[c*d:], centre)
		}
	}
	for i := range s.Train.N() {
		s.Train.Evaluated(x, i)
		total := 0.0
		for c := range q {
			q[c] = elementary.Power(stream.Float64(), int64(k))
			total += q[c]
		}
		for c := range q {
			share := q[c] / total
			stats.Counts[c] += share
			if share < 1e-6 {
				continue
			}
			if s.Config.Likelihood.Pixels() == model.LevelPixels {
				for j, v := range x {
					stats.Sums[(j*graph.Levels+levelOf(v))*k+c] += share
				}
				continue
			}
			for j, v := range x {
				from := float64(v) - float64(centre[j])
				stats.Sums[c*d+j] += float64(share * from)
				if stats.Squares != nil {
					stats.Squares[c*d+j] += float64(share * from * from)
				}
			}
		}
	}
}

// pixelMoments are the mean and the variance of each pixel's grey levels.
func (s *Setup) pixelMoments() []infer.Running {
	x, pixels := make([]float32, s.Train.D()), make([]infer.Running, s.Train.D())
	for i := range s.Train.N() {
		s.Train.Evaluated(x, i)
		for j, v := range x {
			pixels[j].Add(float64(v))
		}
	}
	return pixels
}

// pixelVariance is the variance of a pixel's grey levels, averaged over pixels.
func (s *Setup) pixelVariance() float64 {
	sum := 0.0
	for _, p := range s.pixelMoments() {
		sum += p.Variance()
	}
	return max(sum/float64(s.Train.D()), 1e-6)
}
