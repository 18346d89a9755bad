package graph

import "github.com/viterin/vek/vek32"

// Average is the running average of parameters, which training leaves as they are:
// after every step
//
//	θ̄ = d θ̄ + (1-d) θ
//
// It reaches back some 1/(1-d) steps, and begins at the parameters as they are.
//
// Source: Polyak and Juditsky 1992, with weights that fall exponentially.
type Average struct {
	Decay float64 // d

	engine *Engine
	params []*Param
	mean   [][]float32 // θ̄
	spare  []float32
}

// NewAverage returns the average of params.
func NewAverage(decay float64, params []*Param, engine *Engine) *Average {
	a := &Average{Decay: decay, engine: engine, params: params}
	longest := 0
	for _, p := range params {
		a.mean = append(a.mean, append([]float32(nil), p.Value...))
		longest = max(longest, len(p.Value))
	}
	a.spare = make([]float32, longest)
	return a
}

// Step follows a step of the parameters.
func (a *Average) Step() {
	rest := float32(1 - a.Decay)
	for i, p := range a.params {
		a.engine.Split(len(p.Value), elementGrain, func(lo, hi int) {
			const block = 2048 // stays in the cache from one pass to the next
			for ; lo < hi; lo += block {
				end := min(lo+block, hi)
				mean, way := a.mean[i][lo:end], a.spare[lo:end]
				vek32.Sub_Into(way, p.Value[lo:end], mean)
				vek32.MulNumber_Inplace(way, rest)
				vek32.Add_Inplace(mean, way)
			}
		})
	}
}

// Swap exchanges the parameters for their average. A second call takes it back.
func (a *Average) Swap() {
	for i, p := range a.params {
		spare := a.spare[:len(p.Value)]
		copy(spare, p.Value)
		copy(p.Value, a.mean[i])
		copy(a.mean[i], spare)
	}
}

// Params returns the average as parameters with the names ema.<parameter>, which share
// memory with it.
func (a *Average) Params() []*Param {
	var params []*Param
	for i, p := range a.params {
		params = append(params, &Param{Name: "ema." + p.Name, Shape: p.Shape, Value: a.mean[i]})
	}
	return params
}
