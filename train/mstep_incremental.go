package train

import (
	"fmt"
	"slices"

	"elbo/model"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// incrementalStep is EM over batches (Neal and Hinton 1998): after the E-step of one batch
// of images the M-step follows at once, with the statistics of all other batches as they
// were. Each of both steps raises
//
//	F(q, θ) = Σ_N E_q[log p(x, z|θ)] + H(q),
//
// the ELBO of the table, though rows of it are of different ages; the evidence at θ is
// above F. What is kept of the table is all that F and the M-step see of it: the
// statistics of each batch, and its entropy.
type incrementalStep struct {
	*closedStep
	size    int // images in a batch
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

func newIncrementalStep(s *Setup, closed *closedStep) *incrementalStep {
	size := min(SettingsOf[MixtureSettings](s.Config).Incremental, s.Train.N())
	inc := &incrementalStep{closedStep: closed, size: size, entropy: make([]float32, (s.Train.N()+size-1)/size)}
	for range inc.entropy {
		inc.batches = append(inc.batches, closed.mixture.NewStatistics())
	}
	return inc
}

func (inc *incrementalStep) chunk() int { return inc.size }

func (inc *incrementalStep) expect(e *em, first, count int) {
	inc.replace(e, first/inc.size, count)
	inc.watch(e, first, count)
}

// bound returns F: the sweep before has left the table, and with it the bound.
func (inc *incrementalStep) bound(e *em) (run.Metrics, bool) {
	if e.step == 0 {
		return run.Metrics{}, false
	}
	inc.total(e.stats)
	mean := inc.terms(e.stats).Mean()
	return run.Metrics{Train: &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound}, EM: &run.EMTerms{Table: true}}, true
}

// maximise takes an E-step and an M-step for each batch in turn; the first M-step is that
// of all images at once.
func (inc *incrementalStep) maximise(e *em) error {
	if e.step == 0 {
		err := inc.closedStep.maximise(e)
		e.note.Bound = nil
		return err
	}
	for b := range inc.batches {
		first := b * inc.size
		count := min(inc.size, e.Train.N()-first)
		e.fit.Load(e.pixels, first, count)
		if err := e.fit.Run(count); err != nil {
			return err
		}
		inc.replace(e, b, count)
		if err := inc.mixture.Maximise(e.stats); err != nil {
			return err
		}
	}
	return nil
}

func (inc *incrementalStep) save(s *run.State) {
	c := inc.mixture.Config
	s.Tables = append(s.Tables, inc.tensors(c.States, c.Pixels)...)
}

// replace puts the statistics of the last E-step in place of a batch's, and changes the
// sums over all batches accordingly. Statistics are rounded to float32, as a checkpoint
// keeps them, so that a resumed run continues with the same bits.
func (inc *incrementalStep) replace(e *em, b, count int) {
	s := inc.batches[b]
	e.stats.Add(s, -1)
	s.Clear()
	e.fit.AddStatistics(s, count)
	e.stats.Add(s, 1)
	// H(q) = log p(x) - E_q[log p(x|z)] - E_q[log p(z)], row by row.
	h := 0.0
	recon := e.fit.Recon()
	for i, evidence := range e.fit.Evidence()[:count] {
		h += float64(evidence) - float64(recon[i])
	}
	for k, n := range s.Counts {
		if n > 0 {
			h -= float64(n * float64(e.model.LogPrior()[k]))
		}
	}
	inc.entropy[b] = float32(h)
}

// total is the sum over all batches, in their order.
func (inc *incrementalStep) total(into *model.Statistics) {
	into.Clear()
	for _, s := range inc.batches {
		into.Add(s, 1)
	}
}

// terms returns the parts of F over all images.
func (inc *incrementalStep) terms(all *model.Statistics) model.Totals {
	logLik, logPrior := inc.mixture.ExpectedLogJoint(all)
	bound := logLik + logPrior
	for _, h := range inc.entropy {
		bound += float64(h)
	}
	return model.Totals{Images: all.Images, Recon: logLik, KL: logLik - bound, Bound: bound}
}

// tensors are the statistics of the batches as a checkpoint keeps them.
func (inc *incrementalStep) tensors(k, d int) []safetensors.Tensor {
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

// load sets the statistics to those of a checkpoint, which has none before the first M-step.
func (inc *incrementalStep) load(e *em, state *run.State) error {
	if state.Step == 0 {
		return nil
	}
	tensors := state.Tables
	find := func(name string, size int) ([]float32, error) {
		values, ok := findTensor(tensors, name, size)
		if !ok {
			return nil, fmt.Errorf("checkpoint has no %s of %d numbers: it %w", name, size, run.ErrMismatch)
		}
		return values, nil
	}
	n, k, d := len(inc.batches), e.model.Config.States, e.model.Config.Pixels
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
		batch.Images = float64(min(inc.size, e.Train.N()-b*inc.size))
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
