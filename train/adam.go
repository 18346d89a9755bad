package train

import (
	"fmt"

	"elbo/graph"
	"elbo/train/safetensors"
)

// Adam is the optimiser, with its state as a checkpoint keeps it.
type Adam struct{ *graph.Adam }

// NewAdam returns [graph.NewAdam].
func NewAdam(lr float64, params []*graph.Param, engine *graph.Engine) *Adam {
	return &Adam{graph.NewAdam(lr, params, engine)}
}

// Moments returns the state under the names adam.m.<parameter> and
// adam.v.<parameter>. The tensors share memory with the optimiser.
func (a *Adam) Moments() []safetensors.Tensor {
	var moments []safetensors.Tensor
	for _, p := range a.Adam.Moments() {
		moments = append(moments, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	return moments
}

// Restore sets the state that Moments returned after step t.
func (a *Adam) Restore(moments []safetensors.Tensor, t int64) error {
	saved := make(map[string][]float32, len(moments))
	for _, m := range moments {
		saved[m.Name] = m.Data
	}
	for _, own := range a.Moments() {
		data, ok := saved[own.Name]
		if !ok || len(data) != len(own.Data) {
			return fmt.Errorf("checkpoint has %d values for %s, want %d: it was written for another model", len(data), own.Name, len(own.Data))
		}
		copy(own.Data, data)
	}
	a.Steps = t
	return nil
}
