package simd

import "golang.org/x/sys/cpu"

var accelerated = cpu.X86.HasAVX2 && cpu.X86.HasFMA

//go:noescape
func expAVX2(x *float32, n int)

//go:noescape
func expm1AVX2(x *float32, n int)

//go:noescape
func expSumAVX2(q, a *float32, top float32, n int) float64

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
