package train

import (
	"fmt"

	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// tablePrior is where an E-step takes log p(z) from.
type tablePrior interface {
	perImage() bool
	begin(logPrior []float32)              // sets the first p(z) of every image
	fill(e *model.EStep, first, count int) // before the E-step of a chunk
	keep(e *model.EStep, first, count int) // after it
	sharpen(e *em)                         // before the M-step
	save(s *run.State) error
	load(s *run.State) error
}

// commonPrior is one p(z) for all images, fixed or shared: the model has it.
type commonPrior struct{}

func (commonPrior) perImage() bool              { return false }
func (commonPrior) begin([]float32)             {}
func (commonPrior) fill(*model.EStep, int, int) {}
func (commonPrior) keep(*model.EStep, int, int) {}
func (commonPrior) sharpen(*em)                 {}
func (commonPrior) save(*run.State) error       { return nil }
func (commonPrior) load(*run.State) error       { return nil }

// priorPerImage gives every image a p(z) of its own. A process has those of its own share of
// the images, from one to before another.
type priorPerImage struct {
	reducer        Reducer
	images, states int
	from           int
	table          []float32 // log p_n(z), [own images, K]
	posteriors     []float32 // log p(z|x_n), [own images, K], which the M-step makes the priors
}

func newPriorPerImage(r Reducer, images, states int) *priorPerImage {
	from, to := infer.Share(r, images)
	return &priorPerImage{reducer: r, images: images, states: states, from: from, table: make([]float32, (to-from)*states), posteriors: make([]float32, (to-from)*states)}
}

func (p *priorPerImage) perImage() bool { return true }

func (p *priorPerImage) begin(logPrior []float32) {
	for i := range p.table {
		p.table[i] = logPrior[i%p.states]
	}
}

func (p *priorPerImage) fill(e *model.EStep, first, count int) {
	copy(e.LogPriors(), p.table[(first-p.from)*p.states:][:count*p.states])
}

// keep keeps the posteriors of a chunk.
func (p *priorPerImage) keep(e *model.EStep, first, count int) {
	joint, evidence := e.Joint(), e.Evidence()
	for i := range count {
		row := p.posteriors[(first-p.from+i)*p.states:][:p.states]
		for j := range row {
			row[j] = max(joint[i*p.states+j]-evidence[i], graph.LogZero)
		}
	}
}

// sharpen makes every image's posterior its prior, and log p(z) their average: what stands
// for an image that was not in training. It is left to the M-step, so that whatever is said
// or saved of an E-step's parameters comes with the priors that it found.
func (p *priorPerImage) sharpen(e *em) {
	p.table, p.posteriors = p.posteriors, p.table
	for k, n := range e.stats.Counts {
		e.model.LogPrior()[k] = graph.LogProbability(n / e.stats.Images)
	}
}

// save adds the whole table, which processes put together.
func (p *priorPerImage) save(s *run.State) error {
	table := p.table
	if p.reducer.Size() > 1 {
		table = make([]float32, p.images*p.states) // added to zeros, nothing is rounded
		copy(table[p.from*p.states:], p.table)
		if err := p.reducer.SumFloat32(table); err != nil {
			return err
		}
	}
	s.Tables = append(s.Tables, safetensors.Tensor{Name: run.PriorTable, Shape: []int{p.images, p.states}, Data: table})
	return nil
}

func (p *priorPerImage) load(s *run.State) error {
	table, ok := findTensor(s.Tables, run.PriorTable, p.images*p.states)
	if !ok {
		return fmt.Errorf("checkpoint has no %s of %d images and %d states: it was written for other data or another model", run.PriorTable, p.images, p.states)
	}
	copy(p.table, table[p.from*p.states:])
	return nil
}
