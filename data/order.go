package data

// Order returns the order in which an epoch visits n images: a uniform
// permutation of 0..n-1, a pure function of (seed, epoch). It is the
// Fisher-Yates shuffle of the identity by stream(seed, "shuffle", epoch):
//
//	for i = n-1 down to 1:  j ~ U{0..i},  swap order[i], order[j]
//
// The result has length n, at most 2³¹-1, and reuses dst where its capacity
// suffices.
//
// Source: Durstenfeld 1964, Algorithm 235.
func Order(dst []int32, n int, seed uint64, epoch int) []int32 {
	return permutation(dst, n, NewStream(seed, "shuffle", uint64(epoch)))
}

// permutation is Order by a given stream.
func permutation(dst []int32, n int, s *Stream) []int32 {
	if cap(dst) < n {
		dst = make([]int32, n)
	}
	dst = dst[:n]
	for i := range dst {
		dst[i] = int32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := s.IntN(i + 1)
		dst[i], dst[j] = dst[j], dst[i]
	}
	return dst
}
