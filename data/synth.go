package data

// Synthetic returns n small grey drawings with labels, for tests and examples.
// Image i shows, by its label i mod 4: 0 a horizontal bar, 1 a vertical bar,
// 2 a falling diagonal, 3 a round blob. Where it lies is drawn from
// stream(seed, "synthetic", i), so the first images of a larger set are those
// of a smaller one. Edges are grey. n, rows and cols are at least 1.
//
// All arithmetic is on integers, in sixteenths of a pixel, so that every
// platform draws the same bytes.
func Synthetic(n, rows, cols int, seed uint64) Images {
	im := Images{N: n, Rows: rows, Cols: cols, Bytes: make([]uint8, n*rows*cols), Labels: make([]uint8, n)}
	var s Stream
	for i := range n {
		s.Reset(seed, "synthetic", uint64(i))
		im.Labels[i] = uint8(i % 4)
		drawShape(im.Bytes[i*rows*cols:(i+1)*rows*cols], rows, cols, i%4, &s)
	}
	return im
}

// drawShape fills one image. Each shape is a distance from its middle, in
// sixteenths of a pixel, which shade turns into grey.
func drawShape(dst []uint8, rows, cols, label int, s *Stream) {
	const pixel = 16
	size := min(rows, cols) * pixel
	half := max(pixel, size/6) // half the width of a bar, the radius of a blob is twice that
	// The middle lies in the middle half of the image.
	y0 := rows*pixel/4 + s.IntN(rows*pixel/2)
	x0 := cols*pixel/4 + s.IntN(cols*pixel/2)
	for r := range rows {
		for c := range cols {
			y, x := r*pixel+pixel/2-y0, c*pixel+pixel/2-x0
			var g uint8
			switch label {
			case 0:
				g = shade(abs(y), half)
			case 1:
				g = shade(abs(x), half)
			case 2:
				g = shade(abs(y-x), half)
			default:
				g = shade((y*y+x*x)/(2*half), 2*half)
			}
			dst[r*cols+c] = g
		}
	}
}

// shade is 255 up to distance half/2 and falls to 0 at distance half.
func shade(distance, half int) uint8 {
	return uint8(min(255, 510*max(0, half-distance)/half))
}

func abs(x int) int { return max(x, -x) }
