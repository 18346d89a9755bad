//go:build !amd64 && !arm64

package gemm

var best = kernels()[0]

func kernels() []*kernel { return []*kernel{&portable} }

const unreachable = "gemm: there is no assembly for this CPU"

func (g *kernel) panel(*panel) { panic(unreachable) }

func (g *kernel) copy([]float32, int, []float32, int, int, int) { panic(unreachable) }

func block(int, []float32, int, []float32, int, int) { panic(unreachable) }

func (g *kernel) hasOnes() bool { return false }

func (g *kernel) ones(*ones) { panic(unreachable) }

func (g *kernel) bits([]uint64, []float32) bool { panic(unreachable) }

// FMAs does about n fused multiply-adds and nothing else, and returns how many additions
// and multiplications these were: what no product can surpass on one core.
func FMAs(n int) float64 { return best.fmas(n) }

func (g *kernel) fmas(n int) float64 { return portableFMAs(n) }
