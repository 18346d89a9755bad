package train

import (
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
func (a *Adam) Moments() []safetensors.Tensor { return tensorsOf(a.Adam.Moments()) }

// Restore sets the state that Moments returned after step t.
func (a *Adam) Restore(moments []safetensors.Tensor, t int64) error {
	if err := restore(a.Moments(), moments, "for another model"); err != nil {
		return err
	}
	a.Steps = t
	return nil
}
