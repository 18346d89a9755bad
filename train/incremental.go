package train

import (
	"fmt"
	"slices"

	"elbo/model"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// incremental is EM over batches (Neal and Hinton 1998): after the E-step of one batch
// of images the M-step follows at once, with the statistics of all other batches as they
// were. Each of both steps raises
//
//	F(q, θ) = Σ_N E_q[log p(x, z|θ)] + H(q),
//
// the ELBO of the table, though rows of it are of different ages; the evidence at θ is
// above F. What is kept of the table is all that F and the M-step see of it: the
// statistics of each batch, and its entropy.
type incremental struct {
	batches []*model.Statistics
	entropy []float32 // of the rows of each batch, summed, nats
}

// The tensors of a checkpoint that hold the statistics of the batches.
const (
	incrementalCounts  = run.IncrementalTable + "counts"  // [batches, K]
	incrementalSums    = run.IncrementalTable + "sums"    // [batches, K, D]
	incrementalSquares = run.IncrementalTable + "squares" // [batches, K, D], of Gaussians
	incrementalCentre  = run.IncrementalTable + "centre"  // [batches, K, D], of Gaussians; without it, 0
	incrementalEntropy = run.IncrementalTable + "entropy" // [batches]
)

func newIncremental(m *model.EM, batches int) *incremental {
	inc := &incremental{entropy: make([]float32, batches)}
	for range batches {
		inc.batches = append(inc.batches, m.NewStatistics())
	}
	return inc
}

// replace puts the statistics of the last E-step in place of a batch's, and changes the
// sums over all batches accordingly. Statistics are rounded to float32, as a checkpoint
// keeps them, so that a resumed run continues with the same bits.
func (inc *incremental) replace(all *model.Statistics, b int, e *model.EStep, logPrior []float32, count int) {
	s := inc.batches[b]
	all.Add(s, -1)
	s.Clear()
	e.AddStatistics(s, count)
	all.Add(s, 1)
	// H(q) = log p(x) - E_q[log p(x|z)] - E_q[log p(z)], row by row.
	h := 0.0
	recon := e.Recon()
	for i, evidence := range e.Evidence()[:count] {
		h += float64(evidence) - float64(recon[i])
	}
	for k, n := range s.Counts {
		if n > 0 {
			h -= n * float64(logPrior[k])
		}
	}
	inc.entropy[b] = float32(h)
}

// total is the sum over all batches, in their order.
func (inc *incremental) total(into *model.Statistics) {
	into.Clear()
	for _, s := range inc.batches {
		into.Add(s, 1)
	}
}

// terms returns the parts of F over all images.
func (inc *incremental) terms(m *model.EM, all *model.Statistics) model.Totals {
	logLik, logPrior := m.ExpectedLogJoint(all)
	bound := logLik + logPrior
	for _, h := range inc.entropy {
		bound += float64(h)
	}
	return model.Totals{Images: all.Images, Recon: logLik, KL: logLik - bound, Bound: bound}
}

// sweep takes an E-step and an M-step for each batch in turn.
func (r *emRun) sweep() error {
	for b := range r.inc.batches {
		first := b * r.fit.Chunk()
		count := min(r.fit.Chunk(), r.Train.N()-first)
		r.fillPixels(r.fit, r.Train, r.kept, first, count)
		if err := r.fit.Run(count); err != nil {
			return err
		}
		r.inc.replace(r.stats, b, r.fit, r.EM.LogPrior(), count)
		if err := r.EM.Maximise(r.stats); err != nil {
			return err
		}
	}
	return nil
}

// tensors are the statistics of the batches as a checkpoint keeps them.
func (inc *incremental) tensors(k, d int) []safetensors.Tensor {
	n := len(inc.batches)
	counts := safetensors.Tensor{Name: incrementalCounts, Shape: []int{n, k}}
	sums := safetensors.Tensor{Name: incrementalSums, Shape: []int{n, k, d}}
	squares := safetensors.Tensor{Name: incrementalSquares, Shape: []int{n, k, d}}
	centre := safetensors.Tensor{Name: incrementalCentre, Shape: []int{n, k, d}}
	for _, s := range inc.batches {
		counts.Data = appendNarrow(counts.Data, s.Counts)
		sums.Data = appendNarrow(sums.Data, s.Sums)
		squares.Data = appendNarrow(squares.Data, s.Squares)
		centre.Data = append(centre.Data, s.Centre...)
	}
	all := []safetensors.Tensor{counts, sums, {Name: incrementalEntropy, Shape: []int{n}, Data: inc.entropy}}
	if len(squares.Data) > 0 {
		all = append(all, squares, centre)
	}
	return all
}

// appendNarrow appends numbers that are float32 already but for their type.
func appendNarrow(to []float32, from []float64) []float32 {
	for _, v := range from {
		to = append(to, float32(v))
	}
	return to
}

// restore sets the statistics to those of a checkpoint.
func (inc *incremental) restore(s *Setup, chunk int, tensors []safetensors.Tensor) error {
	find := func(name string, size int) ([]float32, error) {
		values, ok := findTensor(tensors, name, size)
		if !ok {
			return nil, fmt.Errorf("checkpoint has no %s of %d numbers: it %w", name, size, run.ErrMismatch)
		}
		return values, nil
	}
	n, k, d := len(inc.batches), s.EM.Config.States, s.EM.Config.Pixels
	counts, err := find(incrementalCounts, n*k)
	if err != nil {
		return err
	}
	sums, err := find(incrementalSums, n*k*d)
	if err != nil {
		return err
	}
	entropy, err := find(incrementalEntropy, n)
	if err != nil {
		return err
	}
	var squares, centre []float32
	if inc.batches[0].Squares != nil {
		if squares, err = find(incrementalSquares, n*k*d); err != nil {
			return err
		}
		// Earlier versions took all sums about 0, and had no such tensor.
		if slices.ContainsFunc(tensors, func(t safetensors.Tensor) bool { return t.Name == incrementalCentre }) {
			if centre, err = find(incrementalCentre, n*k*d); err != nil {
				return err
			}
		}
	}
	copy(inc.entropy, entropy)
	for b, batch := range inc.batches {
		batch.Images = float64(min(chunk, s.Train.N()-b*chunk))
		widen(batch.Counts, counts[b*k:])
		widen(batch.Sums, sums[b*k*d:])
		if squares != nil {
			widen(batch.Squares, squares[b*k*d:])
		}
		if centre != nil {
			copy(batch.Centre, centre[b*k*d:])
		}
	}
	return nil
}

// findTensor returns the values of a tensor that is the state of a run, if there is one
// of that name and size.
func findTensor(tensors []safetensors.Tensor, name string, size int) ([]float32, bool) {
	for _, t := range tensors {
		if t.Name == name && len(t.Data) == size {
			return t.Data, true
		}
	}
	return nil, false
}

func widen(into []float64, from []float32) {
	for i := range into {
		into[i] = float64(from[i])
	}
}
