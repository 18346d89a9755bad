package graph

import (
	"math"

	"github.com/viterin/vek/vek32"

	"elbo/graph/elementary"
	"elbo/graph/simd"
)

// Adam is the optimiser of Kingma and Ba 2015, with its state open to be saved.
// For every parameter θ with gradient g of the loss, at step t = 1, 2, ...:
//
//	m = β₁ m + (1-β₁) g        v = β₂ v + (1-β₂) g²
//	θ = θ - lr · m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε)
//
// With a decay λ, every step begins with θ = (1 - lr λ) θ, which has no part in the moments.
// This is torch.optim.AdamW.
//
// Source of the decay: Loshchilov and Hutter 2019.
type Adam struct {
	LR, Beta1, Beta2, Epsilon float64
	Decay                     float64 // λ, 0 for none
	Steps                     int64   // t, taken so far

	engine *Engine
	params []*Param
	m, v   [][]float32
}

// NewAdam returns an optimiser of params with zero moments, β₁ = 0.9, β₂ = 0.999
// and ε = 10⁻⁸.
func NewAdam(lr float64, params []*Param, engine *Engine) *Adam {
	a := &Adam{LR: lr, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, engine: engine, params: params}
	for _, p := range params {
		a.m = append(a.m, make([]float32, len(p.Value)))
		a.v = append(a.v, make([]float32, len(p.Value)))
	}
	return a
}

// Step moves every parameter against its gradient; grad returns that of the i-th.
// Gradients are read and not changed.
func (a *Adam) Step(grad func(i int) []float32) {
	a.Steps++
	c1 := 1 - elementary.Power(a.Beta1, a.Steps)
	c2 := 1 - elementary.Power(a.Beta2, a.Steps)
	// θ -= rate · m / (√v + ε'), with both corrections taken out of the loop.
	rate := float32(a.LR * math.Sqrt(c2) / c1)
	epsilon := float32(a.Epsilon * math.Sqrt(c2))
	d1, d2 := float32(1-a.Beta1), float32(1-a.Beta2)
	kept := float32(1 - float64(a.LR*a.Decay))
	for i, p := range a.params {
		g := grad(i)
		a.engine.Split(len(g), 1<<13, func(lo, hi int) {
			if a.Decay != 0 {
				vek32.MulNumber_Inplace(p.Value[lo:hi], kept)
			}
			simd.Adam(p.Value[lo:hi], g[lo:hi], a.m[i][lo:hi], a.v[i][lo:hi], d1, d2, rate, epsilon)
		})
	}
}

// Stop takes the momentum away: m = 0. The scale of the gradients, v, stays.
func (a *Adam) Stop() {
	for i := range a.params {
		clear(a.m[i])
	}
}

// Moments returns the state as parameters with the names adam.m.<parameter> and
// adam.v.<parameter>, which share memory with the optimiser.
func (a *Adam) Moments() []*Param {
	var moments []*Param
	for i, p := range a.params {
		moments = append(moments,
			&Param{Name: "adam.m." + p.Name, Shape: p.Shape, Value: a.m[i]},
			&Param{Name: "adam.v." + p.Name, Shape: p.Shape, Value: a.v[i]})
	}
	return moments
}
