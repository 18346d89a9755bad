package gemm

import "golang.org/x/sys/cpu"

//go:noescape
func panelAVX512(p *panel)

//go:noescape
func copyAVX512(dst *float32, ldd int, src *float32, lds int, rows, cols int)

//go:noescape
func transposeAVX512(dst *float32, ldd int, src *float32, lds int, blocks int)

//go:noescape
func peakAVX512(n int)

//go:noescape
func panelAVX2(p *panel)

//go:noescape
func copyAVX2(dst *float32, ldd int, src *float32, lds int, rows, cols int)

//go:noescape
func transposeAVX2(dst *float32, ldd int, src *float32, lds int, blocks int)

//go:noescape
func peakAVX2(n int)

//go:noescape
func onesAVX2(p *ones)

//go:noescape
func weightedAVX2(p *ones)

//go:noescape
func bitsAVX2(bits *uint64, x *float32, n int) (other int)

var (
	avx512 = kernel{name: "avx512", lanes: 16, rows: [4]int{0, 14, 14, 9}}
	avx2   = kernel{name: "avx2", lanes: 8, rows: [4]int{0, 12, 6}}
)

var best = kernels()[0]

// kernels are those that this CPU has, the fastest first.
func kernels() []*kernel {
	x := cpu.X86
	list := []*kernel{&portable}
	if x.HasAVX2 && x.HasFMA {
		list = append([]*kernel{&avx2}, list...)
		if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
			list = append([]*kernel{&avx512}, list...)
		}
	}
	return list
}

// panel calls by name: a panel that went through a variable of function type would be
// allocated.
func (g *kernel) panel(p *panel) {
	if g.lanes == 16 {
		panelAVX512(p)
	} else {
		panelAVX2(p)
	}
}

// copy copies a matrix of so many rows and columns, at most three vectors, with zeros to
// the end of the last one.
func (g *kernel) copy(to []float32, ldt int, from []float32, ldf, rows, cols int) {
	if g.lanes == 16 {
		copyAVX512(&to[0], 4*ldt, &from[0], 4*ldf, rows, cols)
	} else {
		copyAVX2(&to[0], 4*ldt, &from[0], 4*ldf, rows, cols)
	}
}

// block transposes blocks of so many rows and columns, see transpose.
func block(lanes int, to []float32, ldt int, from []float32, ldf, blocks int) {
	if lanes == 16 {
		transposeAVX512(&to[0], 4*ldt, &from[0], 4*ldf, blocks)
	} else {
		transposeAVX2(&to[0], 4*ldt, &from[0], 4*ldf, blocks)
	}
}

// hasOnes reports whether there is assembly for products of bits: with BMI1, that of AVX2
// serves all.
func (g *kernel) hasOnes() bool { return g != &portable && cpu.X86.HasBMI1 }

func (g *kernel) ones(p *ones) {
	if p.weights != nil {
		weightedAVX2(p)
	} else {
		onesAVX2(p)
	}
}

// bits finds the ones among so many numbers, a multiple of 8, and reports whether the
// others are 0.
func (g *kernel) bits(bits []uint64, x []float32) bool { return bitsAVX2(&bits[0], &x[0], len(x)) == 0 }

// FMAs does about n fused multiply-adds of registers and nothing else, and returns how
// many additions and multiplications these were: what no product can surpass on one core.
func FMAs(n int) float64 { return best.fmas(n) }

func (g *kernel) fmas(n int) float64 {
	n = max(1, n/12/g.lanes)
	switch g.name {
	case "avx512":
		peakAVX512(n)
	case "avx2":
		peakAVX2(n)
	default:
		return portableFMAs(n * 12 * g.lanes)
	}
	return 2 * 12 * float64(g.lanes) * float64(n)
}
