package infer

import (
	"errors"

	"elbo/data"
)

// Peers are processes that score the same images together, each a part of them.
type Peers interface {
	Rank() int // of this process, from 0
	Size() int // number of processes
	// Sum replaces values by their sums over all processes.
	Sum(values []float64) error
	SumFloat32(values ...[]float32) error
}

// errElsewhere is the error of a process whose own images were scored, where another's were not.
var errElsewhere = errors.New("another process could not score its images, and says why")

// Share is the part of n things, one after another, that falls to this process; all where p is
// nil.
func Share(p Peers, n int) (lo, hi int) {
	if p == nil {
		return 0, n
	}
	return n * p.Rank() / p.Size(), n * (p.Rank() + 1) / p.Size()
}

// Dealt is the part of the images of v that falls to this process.
func Dealt(p Peers, v data.View) data.View {
	v.Subset = v.Slice(Share(p, v.N()))
	return v
}

// blame tells all processes whether one of them has failed, as err says of this one, and
// returns err, or errElsewhere.
func blame(p Peers, err error) error {
	if p == nil || p.Size() == 1 {
		return err
	}
	failed := []float64{0}
	if err != nil {
		failed[0] = 1
	}
	if fault := p.Sum(failed); fault != nil || err != nil {
		return errors.Join(err, fault)
	}
	if failed[0] > 0 {
		return errElsewhere
	}
	return nil
}

// Together returns on every process what each has made of its share of n things: a row of
// numbers for each of them, of which own has those of the share. err is its own error, of which
// the others are told. As every number is added to zeros alone, none is rounded.
func Together(p Peers, n, width int, own []float64, err error) ([]float64, error) {
	if err = blame(p, err); err != nil || p == nil || p.Size() == 1 {
		return own, err
	}
	all := make([]float64, n*width)
	lo, _ := Share(p, n)
	copy(all[lo*width:], own)
	return all, p.Sum(all)
}

// gather puts together what each process made of its part of the images of v: scores and
// posteriors that are zero but for its own, and the sums of its blocks. err is its own error,
// of which the others are told. As every number is added to zeros alone, none is rounded.
func gather(p Peers, v data.View, scores []ImageScore, posteriors []float32, layers [][]float64, err error) error {
	if err = blame(p, err); err != nil || p == nil || p.Size() == 1 {
		return err
	}
	const fields = 6
	depth := 0 // of the sums of a block, by the largest: a process may have no block
	for _, sums := range layers {
		depth = max(depth, len(sums))
	}
	depths := make([]float64, p.Size())
	depths[p.Rank()] = float64(depth)
	if err := p.Sum(depths); err != nil {
		return err
	}
	for _, d := range depths {
		depth = max(depth, int(d))
	}
	values := make([]float64, len(scores)*fields+len(layers)*depth)
	for i, s := range scores {
		copy(values[i*fields:], []float64{s.Recon, s.KL, s.ELBO, s.IW, s.ESS, s.KHat})
	}
	for b, sums := range layers {
		copy(values[len(scores)*fields+b*depth:], sums)
	}
	if fault := errors.Join(p.Sum(values), p.SumFloat32(posteriors)); fault != nil {
		return fault
	}
	for i := range scores {
		x := values[i*fields:][:fields]
		scores[i] = ImageScore{Image: v.Index(i), Recon: x[0], KL: x[1], ELBO: x[2], IW: x[3], ESS: x[4], KHat: x[5]}
	}
	for b := range layers {
		if depth > 0 {
			layers[b] = values[len(scores)*fields+b*depth:][:depth]
		}
	}
	return nil
}
