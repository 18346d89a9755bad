package graph

import (
	"fmt"
	"math"
	"strings"

	"github.com/viterin/vek/vek32"

	"elbo/graph/simd"
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

// apply replaces y, a row of x Wᵀ, by f(y + bias).
func (f Activation) apply(y, bias []float32) {
	if f == ReLU {
		simd.AddReLU(y, bias)
		return
	}
	vek32.Add_Inplace(y, bias)
	switch f {
	case Tanh:
		simd.Tanh(y)
	case ELU:
		for i, v := range y {
			if v < 0 {
				y[i] = float32(math.Expm1(float64(v)))
			}
		}
	case Softplus:
		for i, v := range y {
			y[i] = float32(softplus(float64(v)))
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
		simd.ReLUChain(da, y, dy)
	case Tanh:
		simd.TanhChain(da, y, dy)
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
