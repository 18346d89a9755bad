package model

import (
	"math"

	"elbo/graph/elementary"
)

// hermite fills points, in order, and logarithms of weights of Gauss-Hermite quadrature for
// N(0, 1): with n points it integrates polynomials of degree up to 2n-1 exactly.
//
// With the Hermite polynomials of unit length under N(0, 1),
//
//	h_0 = 1,  h_{k+1} = (x h_k - √k h_{k-1}) / √(k+1),
//
// the points are the zeros of h_n, and the weight of one is 1 / Σ_{k<n} h_k². As many of
// the zeros lie above x as h_0, …, h_n change their sign there, which is enough to find
// each by halving an interval, to the last bit.
//
// Sources: Golub and Welsch 1969, the weights; Givens 1954, the count.
func hermite(points, logWeights []float64) {
	n := len(points)
	for i := range n / 2 { // the i-th largest
		below, above := 0.0, 2*math.Sqrt(float64(n))
		for {
			middle := (below + above) / 2
			if middle == below || middle == above {
				break
			}
			if higher, _ := hermiteAt(n, middle); higher > i {
				below = middle
			} else {
				above = middle
			}
		}
		points[i], points[n-1-i] = -below, below
	}
	for i, x := range points {
		_, squares := hermiteAt(n, x)
		logWeights[i] = -elementary.Log(squares)
	}
}

// hermiteAt returns how many zeros of h_n lie above x, and Σ_{k<n} h_k(x)².
func hermiteAt(n int, x float64) (higher int, squares float64) {
	last, h := 0.0, 1.0
	for k := range n {
		squares += float64(h * h)
		last, h = h, (float64(x*h)-float64(math.Sqrt(float64(k))*last))/math.Sqrt(float64(k+1))
		if (h < 0) != (last < 0) {
			higher++
		}
	}
	return higher, squares
}
