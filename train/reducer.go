package train

import "elbo/model"

// Reducer is what several processes that fit one model are to each other. Each works on a
// share of the images; what is summed over images is summed over processes as well, in the
// places where a sum is complete: gradients and terms of a step, statistics and evidence of
// an E-step, moments of an evaluation. Every process then holds the same sums.
type Reducer interface {
	Rank() int // of this process, from 0
	Size() int // number of processes
	// Sum replaces values by their sums over all processes.
	Sum(values []float64) error
	// SumFloat32 does so for several slices, in single precision.
	SumFloat32(values ...[]float32) error
}

// Alone is the Reducer of a single process: every sum is complete as it is.
type Alone struct{}

// Rank is 0.
func (Alone) Rank() int { return 0 }

// Size is 1.
func (Alone) Size() int { return 1 }

// Sum leaves values as they are.
func (Alone) Sum([]float64) error { return nil }

// SumFloat32 leaves values as they are.
func (Alone) SumFloat32(...[]float32) error { return nil }

// owner is the process that owns an image out of n: of those that are its infer.Share.
func owner(r Reducer, image, n int) int { return ((image+1)*r.Size() - 1) / n }

// mostDealt is how many images of a batch a process gets at most.
func mostDealt(r Reducer, batch int) int { return (batch + r.Size() - 1) / r.Size() }

// deal returns, in their order, the images of a batch that this process works on, out of n in
// all: those that it owns. Processes wait for the one that has most, so that each gets an equal
// number: what is more than that goes to those that own fewer.
func deal(r Reducer, images []int32, n int) []int32 {
	if r.Size() == 1 {
		return images
	}
	room := make([]int, r.Size())
	for rank := range room {
		room[rank] = len(images)*(rank+1)/r.Size() - len(images)*rank/r.Size()
	}
	to := make([]int, len(images))
	for i, image := range images {
		if to[i] = owner(r, int(image), n); room[to[i]] > 0 {
			room[to[i]]--
		} else {
			to[i] = -1
		}
	}
	next := 0
	var own []int32
	for i, image := range images {
		if to[i] < 0 {
			for room[next] == 0 {
				next++
			}
			room[next]--
			to[i] = next
		}
		if to[i] == r.Rank() {
			own = append(own, image)
		}
	}
	return own
}

// sumTotals sums terms over all processes.
func sumTotals(r Reducer, t *model.Totals) error {
	values := []float64{t.Images, t.Recon, t.KL, t.Bound}
	err := r.Sum(values)
	*t = model.Totals{Images: values[0], Recon: values[1], KL: values[2], Bound: values[3]}
	return err
}

// sumStatistics sums the statistics of an E-step over all processes, which are about the
// same centre, as they have the same parameters.
func sumStatistics(r Reducer, s *model.Statistics) error {
	images := []float64{s.Images}
	for _, values := range [][]float64{images, s.Counts, s.Sums, s.Squares} {
		if err := r.Sum(values); err != nil {
			return err
		}
	}
	s.Images = images[0]
	return nil
}
