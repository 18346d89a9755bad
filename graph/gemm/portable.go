package gemm

import "elbo/graph/fma"

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
			s0 = fma.Wide(v, row[0], s0)
			s1 = fma.Wide(v, row[1], s1)
			s2 = fma.Wide(v, row[2], s2)
			s3 = fma.Wide(v, row[3], s3)
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
