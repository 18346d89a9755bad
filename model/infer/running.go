package infer

import "math"

// Running is the running mean and variance of numbers. The zero value has seen none.
//
// Source: Welford 1962.
type Running struct {
	N    int
	Mean float64
	m2   float64 // Σ (x - Mean)²
}

// Add takes in one number.
func (m *Running) Add(x float64) {
	x = float64(x) // where a product is handed in, and this is inlined, it is not to be fused
	m.N++
	d := x - m.Mean
	m.Mean += d / float64(m.N)
	m.m2 += float64(d * (x - m.Mean))
}

// Variance is Σ (x - Mean)² / (N - 1), 0 of fewer than two numbers.
func (m *Running) Variance() float64 {
	if m.N < 2 {
		return 0
	}
	return m.m2 / float64(m.N-1)
}

// StandardError is that of the mean.
func (m *Running) StandardError() float64 {
	return math.Sqrt(m.Variance() / float64(max(1, m.N)))
}

// Estimate returns the mean with its standard error.
func (m *Running) Estimate() Estimate { return Estimate{Value: m.Mean, SE: m.StandardError()} }

// Estimate is a mean over images with its standard error, in nats per image.
type Estimate struct {
	Value float64 `json:"value"`
	SE    float64 `json:"se"`
}
