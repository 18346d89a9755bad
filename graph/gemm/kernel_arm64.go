package gemm

//go:noescape
func panelNEON(p *panel)

//go:noescape
func peakNEON(n int)

var neon = kernel{name: "neon", lanes: 4, rows: [4]int{0, 8, 8, 8}, whole: true}

var best = kernels()[0]

// kernels are those that this CPU has, the fastest first: NEON is part of arm64.
func kernels() []*kernel { return []*kernel{&neon, &portable} }

func (g *kernel) panel(p *panel) { panelNEON(p) }

// copy copies a matrix of so many rows and columns.
func (g *kernel) copy(to []float32, ldt int, from []float32, ldf, rows, cols int) {
	for r := range rows {
		copy(to[r*ldt:][:cols], from[r*ldf:][:cols])
	}
}

// block is for vectors of eight and more, see transpose.
func block(int, []float32, int, []float32, int, int) { panic("gemm: no vector is as long") }

// hasOnes reports that there is no assembly for products of bits.
func (g *kernel) hasOnes() bool { return false }

func (g *kernel) ones(*ones) { panic("gemm: there is no assembly for bits") }

func (g *kernel) bits([]uint64, []float32) bool { panic("gemm: there is no assembly for bits") }

// FMAs does about n fused multiply-adds of registers and nothing else, and returns how
// many additions and multiplications these were: what no product can surpass on one core.
func FMAs(n int) float64 { return best.fmas(n) }

func (g *kernel) fmas(n int) float64 {
	if g != &neon {
		return portableFMAs(n)
	}
	n = max(1, n/12/g.lanes)
	peakNEON(n)
	return 2 * 12 * float64(g.lanes) * float64(n)
}
