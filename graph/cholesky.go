package graph

import "math"

// Cholesky fills the lower triangle L, [N, N], with L Lᵀ = the symmetric matrix, [N, N], its diagonal
// at least the floor and its other elements times keep, and reports whether there is one. l may be
// the matrix itself.
func Cholesky(l, symmetric []float64, n int, keep, floor float64) bool {
	for i := range n {
		for j := range i + 1 {
			sum := float64(keep * symmetric[i*n+j])
			if i == j {
				sum = max(symmetric[i*n+i], floor)
			}
			for k := range j {
				sum -= float64(l[i*n+k] * l[j*n+k])
			}
			switch {
			case i > j:
				l[i*n+j] = sum / l[j*n+j]
			case sum > 0:
				l[i*n+i] = math.Sqrt(sum)
			default:
				return false
			}
		}
	}
	return true
}
