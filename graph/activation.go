package graph

import (
	"fmt"
	"strings"

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

// apply replaces the pre-activations a by y.
func (f Activation) apply(a []float32) {
	switch f {
	case ReLU:
		simd.ReLU(a)
	case Tanh:
		simd.Tanh(a)
	case ELU:
		simd.ELU(a)
	case Softplus:
		simd.Softplus(a)
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
		simd.SoftplusChain(da, y, dy)
	}
}
