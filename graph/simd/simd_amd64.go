package simd

import "golang.org/x/sys/cpu"

// lanes is how many numbers are worked on at once: 16, 8 or 1.
var lanes = func() int {
	switch x := cpu.X86; {
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL:
		return 16
	case x.HasAVX2 && x.HasFMA:
		return 8
	}
	return 1
}()

//go:noescape
func expAVX2(x *float32, n int)

//go:noescape
func expm1AVX2(x *float32, n int)

//go:noescape
func expSumAVX2(q, a *float32, top float32, n int) float64

//go:noescape
func dotAVX2(x, y *float32, n int) float32

//go:noescape
func dotAVX512(x, y *float32, n int) float32

//go:noescape
func tanhAVX2(x *float32, n int)

//go:noescape
func bernoulliAVX2(residual, x, l *float32, n int) (sum, product float64)

//go:noescape
func reluAVX2(x *float32, n int)

//go:noescape
func eluAVX2(x *float32, n int)

//go:noescape
func softplusAVX2(x *float32, n int)

//go:noescape
func reluChainAVX2(da, y, dy *float32, n int)

//go:noescape
func tanhChainAVX2(da, y, dy *float32, n int)

//go:noescape
func adamAVX2(theta, grad, m, v *float32, n int, d1, d2, rate, epsilon float32)

//go:noescape
func expSumAVX512(q, a *float32, top float32, n int) float64

//go:noescape
func tanhAVX512(x *float32, n int)

//go:noescape
func bernoulliAVX512(residual, x, l *float32, n int) (sum, product float64)
