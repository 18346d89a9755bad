package gemm

// Way is one kernel, for the benchmark, which compares it with the libraries of package
// blas and so stands outside.
type Way struct{ g *kernel }

// Ways are the kernels of this CPU.
func Ways() []Way {
	var list []Way
	for _, g := range kernels() {
		list = append(list, Way{g})
	}
	return list
}

func (w Way) Name() string       { return w.g.name }
func (w Way) FMAs(n int) float64 { return w.g.fmas(n) }

func (w Way) Product(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	w.g.multiply(transA, transB, m, n, k, a, lda, b, ldb, nil, c, ldc)
}
