package train

import (
	"fmt"

	"elbo/graph"
	"elbo/train/safetensors"
)

// runningAverage is the running average of a model's parameters, as a checkpoint keeps it.
type runningAverage struct{ *graph.Average }

func newAverage(decay float64, params []*graph.Param, engine *graph.Engine) *runningAverage {
	return &runningAverage{graph.NewAverage(decay, params, engine)}
}

// tensors returns the average under the names ema.<parameter>. They share memory with it.
func (a *runningAverage) tensors() []safetensors.Tensor {
	var tensors []safetensors.Tensor
	for _, p := range a.Params() {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	return tensors
}

// restore sets the average to what tensors returned.
func (a *runningAverage) restore(saved []safetensors.Tensor) error {
	data := make(map[string][]float32, len(saved))
	for _, t := range saved {
		data[t.Name] = t.Data
	}
	for _, own := range a.tensors() {
		if len(data[own.Name]) != len(own.Data) {
			return fmt.Errorf("checkpoint has %d values for %s, want %d: it was written without --ema, or for another model", len(data[own.Name]), own.Name, len(own.Data))
		}
		copy(own.Data, data[own.Name])
	}
	return nil
}

// inPlaceOf returns the average under the names of the parameters.
func (a *runningAverage) inPlaceOf(params []safetensors.Tensor) []safetensors.Tensor {
	averaged := append([]safetensors.Tensor(nil), params...)
	for i, t := range a.tensors() {
		averaged[i].Data = t.Data
	}
	return averaged
}
