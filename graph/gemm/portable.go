package gemm

import "math"

// FMA returns x y + z rounded once to float32.
//
// The product of two float32 numbers is exact in float64, and so is rounding the sum to
// float64 and then to float32 harmless, but where the first rounding ends half way
// between two float32 numbers: then what it took away decides.
func FMA(x, y, z float32) float32 {
	return float32(fma(float64(x), float64(y), float64(z)))
}

// fma is FMA on float32 numbers that are kept in float64.
func fma(x, y, z float64) float64 {
	p := float64(x * y) // the conversion keeps the compiler from fusing it with the sum
	s := p + z
	// Half way between two float32 numbers that are not subnormal the lowest 29 bits are a
	// one and zeros.
	u := math.Float64bits(s)
	if u&(1<<29-1) == 1<<28 || u<<1>>53 <= 1023-126 {
		return halfway(p, z, s)
	}
	return float64(float32(s))
}

// halfway rounds p + z to float32, s being the sum in float64: it first rounds the sum to
// float64 such that an inexact one ends in a one ("to odd"), so that it cannot be half
// way.
func halfway(p, z, s float64) float64 {
	t := s - p
	e := (p - (s - t)) + (z - t) // what s lacks, exactly
	if u := math.Float64bits(s); e != 0 && e-e == 0 && u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
		s = math.Float64frombits(u)
	}
	return float64(float32(s))
}

// portable computes the product without assembly, eight columns at a time.
func (p *product) portable(x *buffer) {
	const width = 8
	if cap(x.wide) < p.k*(width+1) {
		x.wide = make([]float64, p.k*(width+1))
	}
	b, a := x.wide[:p.k*width], x.wide[p.k*width:][:p.k]
	for j0 := 0; j0 < p.n; j0 += width {
		cols := min(width, p.n-j0)
		for k := range p.k {
			row := b[k*width:][:width]
			clear(row)
			for j := range cols {
				row[j] = float64(p.b[k*p.rb+(j0+j)*p.cb])
			}
		}
		for i := range p.m {
			for k := range a {
				a[k] = float64(p.a[i*p.ra+k*p.ca])
			}
			var s [width]float64
			chains(&s, a, b)
			for j := range cols {
				v := float32(s[j])
				if p.bias != nil {
					v += p.bias[j0+j]
				}
				p.c[i*p.rc+j0+j] = v
			}
		}
	}
}

// chains computes s[j] = fma(a[k], b[k,j], s[j]) for all k, one after the other.
func chains(s *[8]float64, a, b []float64) {
	for h := 0; h < 8; h += 4 { // as many as there are registers for
		s0, s1, s2, s3 := s[h], s[h+1], s[h+2], s[h+3]
		for k, v := range a {
			row := b[8*k+h:][:4]
			s0 = fma(v, row[0], s0)
			s1 = fma(v, row[1], s1)
			s2 = fma(v, row[2], s2)
			s3 = fma(v, row[3], s3)
		}
		s[h], s[h+1], s[h+2], s[h+3] = s0, s1, s2, s3
	}
}

// portableFMAs does n fused multiply-adds, and returns 2 n.
func portableFMAs(n int) float64 {
	n = max(1, n/8)
	a, b := [16]float64{}, [128]float64{}
	for i := range b {
		b[i] = 1
	}
	var s [8]float64
	for range (n + 15) / 16 {
		chains(&s, a[:], b[:])
	}
	return 2 * 8 * 16 * float64((n+15)/16)
}
