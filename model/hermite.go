package model

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// hermite fills points and logarithms of weights of Gauss-Hermite quadrature for
// N(0, 1): with n points it integrates polynomials of degree up to 2n-1 exactly.
//
// The points are the eigenvalues of the symmetric tridiagonal matrix of the
// recurrence He_{i+1} = x He_i - i He_{i-1}, the weights the squares of the first
// components of its eigenvectors.
//
// Source: Golub and Welsch 1969.
func hermite(points, logWeights []float64) {
	n := len(points)
	if n == 1 {
		return // 0, of weight 1
	}
	jacobi := mat.NewSymDense(n, nil)
	for i := 1; i < n; i++ {
		jacobi.SetSym(i-1, i, math.Sqrt(float64(i)))
	}
	var eigen mat.EigenSym
	eigen.Factorize(jacobi, true)
	eigen.Values(points)
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for i := range points {
		logWeights[i] = 2 * math.Log(math.Max(math.Abs(vectors.At(0, i)), math.SmallestNonzeroFloat64))
	}
}
