package gemm

//go:generate go run ../../cmd/elbo/internal/gemmasm .

// panel is what the assembly works on: some rows of C, all columns of which stand in one
// to three vectors. Strides are in bytes.
//
//	C[i,j] = (load ? C[i,j] : 0) + Σ_k A[i,k] B[k,j] + bias[j]
//
// one fused multiply-add after the other, in the order of k.
type panel struct {
	a      *float32
	rs, cs int // from one row of A to the next, from one k to the next
	b      *float32
	bs     int // from one k to the next; columns behind cols are not read, but where the kernel says so
	c      *float32
	ldc    int
	bias   *float32 // nil for none
	k      int      // positive
	cols   int      // positive, at most the widest tile's
	height int      // rows of a tile
	tiles  int      // of that height, one below the other; positive
	load   int      // 0, or 1
}
