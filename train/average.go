package train

import (
	"elbo/graph"
	"elbo/train/safetensors"
)

// runningAverage is the running average of a model's parameters, as a checkpoint keeps it.
type runningAverage struct{ *graph.Average }

func newAverage(decay float64, params []*graph.Param, engine *graph.Engine) *runningAverage {
	return &runningAverage{graph.NewAverage(decay, params, engine)}
}

// tensors returns the average under the names ema.<parameter>. They share memory with it.
func (a *runningAverage) tensors() []safetensors.Tensor { return tensorsOf(a.Params()) }

// restore sets the average to what tensors returned.
func (a *runningAverage) restore(saved []safetensors.Tensor) error {
	return restore(a.tensors(), saved, "without --ema, or for another model")
}

// inPlaceOf returns the average under the names of the parameters.
func (a *runningAverage) inPlaceOf(params []safetensors.Tensor) []safetensors.Tensor {
	averaged := append([]safetensors.Tensor(nil), params...)
	for i, t := range a.tensors() {
		averaged[i].Data = t.Data
	}
	return averaged
}
