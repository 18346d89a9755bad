package train

import (
	"fmt"

	"elbo/graph"
	"elbo/model"
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
	save(s *run.State)
	load(s *run.State) error
}

// commonPrior is one p(z) for all images, fixed or shared: the model has it.
type commonPrior struct{}

func (commonPrior) perImage() bool              { return false }
func (commonPrior) begin([]float32)             {}
func (commonPrior) fill(*model.EStep, int, int) {}
func (commonPrior) keep(*model.EStep, int, int) {}
func (commonPrior) sharpen(*em)                 {}
func (commonPrior) save(*run.State)             {}
func (commonPrior) load(*run.State) error       { return nil }

// priorPerImage gives every image a p(z) of its own.
type priorPerImage struct {
	images, states int
	table          []float32 // log p_n(z), [N, K]
	posteriors     []float32 // log p(z|x_n), [N, K], which the M-step makes the priors
}

func newPriorPerImage(images, states int) *priorPerImage {
	return &priorPerImage{images: images, states: states, table: make([]float32, images*states), posteriors: make([]float32, images*states)}
}

func (p *priorPerImage) perImage() bool { return true }

func (p *priorPerImage) begin(logPrior []float32) {
	for i := range p.table {
		p.table[i] = logPrior[i%p.states]
	}
}

func (p *priorPerImage) fill(e *model.EStep, first, count int) {
	copy(e.LogPriors(), p.table[first*p.states:][:count*p.states])
}

// keep keeps the posteriors of a chunk.
func (p *priorPerImage) keep(e *model.EStep, first, count int) {
	joint, evidence := e.Joint(), e.Evidence()
	for i := range count {
		row := p.posteriors[(first+i)*p.states:][:p.states]
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

func (p *priorPerImage) save(s *run.State) {
	s.Tables = append(s.Tables, safetensors.Tensor{Name: run.PriorTable, Shape: []int{p.images, p.states}, Data: p.table})
}

func (p *priorPerImage) load(s *run.State) error {
	table, ok := findTensor(s.Tables, run.PriorTable, len(p.table))
	if !ok {
		return fmt.Errorf("checkpoint has no %s of %d images and %d states: it was written for other data or another model", run.PriorTable, p.images, p.states)
	}
	copy(p.table, table)
	return nil
}
