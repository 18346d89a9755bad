package graph

import (
	"fmt"
	"math"
	"strings"
)

// Activation is a nonlinearity between layers, by its name in flags and files.
type Activation string

// The activations. Each derivative is a function of the output y alone, so that
// a layer keeps nothing else for the backward pass.
const (
	Identity Activation = "identity" // y = a              y' = 1
	ReLU     Activation = "relu"     // y = max(a, 0)      y' = [y > 0]
	Tanh     Activation = "tanh"     // y = tanh a         y' = 1 - y²
	ELU      Activation = "elu"      // y = a or exp(a)-1  y' = 1 or y + 1   (a > 0 or not)
	Softplus Activation = "softplus" // y = log(1+exp a)   y' = 1 - exp(-y)
)

// Activations lists those that a hidden layer may have.
var Activations = []Activation{ReLU, Tanh, ELU, Softplus}

// ParseActivation returns the activation of that name for hidden layers.
func ParseActivation(name string) (Activation, error) {
	var names []string
	for _, a := range Activations {
		if string(a) == name {
			return a, nil
		}
		names = append(names, string(a))
	}
	return "", fmt.Errorf("unknown activation %q, want one of %s", name, strings.Join(names, ", "))
}

// apply replaces the pre-activations a by y.
func (f Activation) apply(a []float32) {
	switch f {
	case ReLU:
		for i, v := range a {
			a[i] = max(v, 0)
		}
	case Tanh:
		for i, v := range a {
			a[i] = float32(math.Tanh(float64(v)))
		}
	case ELU:
		for i, v := range a {
			if v < 0 {
				a[i] = float32(math.Expm1(float64(v)))
			}
		}
	case Softplus:
		for i, v := range a {
			a[i] = float32(softplus(float64(v)))
		}
	}
}

// chain writes da = dy · y'(a) in terms of the output y.
func (f Activation) chain(da, y, dy []float32) {
	y, dy = y[:len(da)], dy[:len(da)]
	switch f {
	case Identity:
		copy(da, dy)
	case ReLU:
		for i := range da {
			// 1 where y > 0, else 0: y is never negative, so neither are its bits.
			// A branch here would be mispredicted for every other unit.
			positive := uint32(-int32(math.Float32bits(y[i]))) >> 31
			da[i] = math.Float32frombits(math.Float32bits(dy[i]) & -positive)
		}
	case Tanh:
		for i := range da {
			da[i] = dy[i] * (1 - y[i]*y[i])
		}
	case ELU:
		for i := range da {
			da[i] = dy[i] * (1 + min(y[i], 0))
		}
	case Softplus:
		for i := range da {
			da[i] = dy[i] * float32(-math.Expm1(-float64(y[i])))
		}
	}
}

// softplus is log(1 + exp a) without overflow.
func softplus(a float64) float64 {
	return max(a, 0) + math.Log1p(math.Exp(-math.Abs(a)))
}
