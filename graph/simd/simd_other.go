//go:build !amd64

package simd

var lanes = 1

const unreachable = "simd: this CPU has no AVX"

func expAVX2(*float32, int)                                   { panic(unreachable) }
func expm1AVX2(*float32, int)                                 { panic(unreachable) }
func expSumAVX2(_, _ *float32, _ float32, _ int) float64      { panic(unreachable) }
func dotAVX2(_, _ *float32, _ int) float32                    { panic(unreachable) }
func dotAVX512(_, _ *float32, _ int) float32                  { panic(unreachable) }
func tanhAVX2(*float32, int)                                  { panic(unreachable) }
func bernoulliAVX2(_, _, _ *float32, _ int) (_, _ float64)    { panic(unreachable) }
func reluAVX2(*float32, int)                                  { panic(unreachable) }
func eluAVX2(*float32, int)                                   { panic(unreachable) }
func softplusAVX2(*float32, int)                              { panic(unreachable) }
func reluChainAVX2(_, _, _ *float32, _ int)                   { panic(unreachable) }
func tanhChainAVX2(_, _, _ *float32, _ int)                   { panic(unreachable) }
func adamAVX2(_, _, _, _ *float32, _ int, _, _, _, _ float32) { panic(unreachable) }
func expSumAVX512(_, _ *float32, _ float32, _ int) float64    { panic(unreachable) }
func tanhAVX512(*float32, int)                                { panic(unreachable) }
func bernoulliAVX512(_, _, _ *float32, _ int) (_, _ float64)  { panic(unreachable) }
