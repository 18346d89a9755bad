package chart

import "math"

// drawable reports whether a value can be given a place on an axis. The bound keeps Hi - Lo finite.
func drawable(v float64) bool { return math.Abs(v) <= 1e300 } // false for NaN

// Span is a closed range of values.
type Span struct{ Lo, Hi float64 }

// Empty is the span of no value.
func Empty() Span { return Span{math.Inf(1), math.Inf(-1)} }

// With returns the span widened to hold v.
func (s Span) With(v float64) Span { return Span{min(s.Lo, v), max(s.Hi, v)} }

func (s Span) isEmpty() bool           { return s.Lo > s.Hi }
func (s Span) size() float64           { return s.Hi - s.Lo }
func (s Span) contains(v float64) bool { return s.Lo <= v && v <= s.Hi }

// open returns a span that an axis can show: [0, 1] for no value, 1 to either side of a lone value, and otherwise the
// span with a fraction of its size added at both ends. What is added is at least a thousand millionth of the values,
// below which labels would not tell them apart.
func (s Span) open(fraction float64) Span {
	if s.isEmpty() {
		return Span{0, 1}
	}
	pad := fraction * s.size()
	if s.size() == 0 {
		pad = 1
	}
	pad = max(pad, 1e-9*max(math.Abs(s.Lo), math.Abs(s.Hi)), 1e-12)
	return Span{s.Lo - pad, s.Hi + pad}
}

// near returns v, moved to within a million sizes of the span. A line to a point so far away leaves the plot in the
// same direction, and coordinates stay small enough to be clipped.
func (s Span) near(v float64) float64 {
	far := 1e6 * s.size()
	return min(max(v, s.Lo-far), s.Hi+far)
}

// centred returns the span of the given size about the centre of s.
func (s Span) centred(size float64) Span {
	mid := s.Lo + s.size()/2
	return Span{mid - size/2, mid + size/2}
}

// ranges returns what the axes show. none: there is no value.
func (c Chart) ranges() (x, y Span, none bool) {
	x, y = c.held(0, 1)
	none = y.isEmpty()
	if c.LeaveOutFirst {
		y = c.settled()
	}
	padX := 0.025
	if c.Equal {
		padX = 0.05
	}
	return c.X.shown(x, padX), c.Y.shown(y, 0.05), none
}

func (a Axis) shown(held Span, pad float64) Span {
	if a.Range != (Span{}) {
		return Span{a.value(a.Range.Lo), a.value(a.Range.Hi)}
	}
	return held.open(pad)
}

// value is where v stands on an axis whose scale is even.
func (a Axis) value(v float64) float64 {
	if a.Log {
		return math.Log10(v)
	}
	return v
}

// held is what the layers hold, of a line of n points without the first ⌈n k/longest⌉.
func (c Chart) held(k, longest int) (x, y Span) {
	x, y = Empty(), Empty()
	skip := func(n int) int { return min((n*k+longest-1)/longest, max(0, n-3)) }
	for _, l := range c.Layers {
		l.hold(skip, func(vx, vy float64) {
			u, v := c.X.value(vx), c.Y.value(vy)
			if drawable(u) {
				x = x.With(u)
			}
			if drawable(u) && drawable(v) {
				y = y.With(v)
			}
		})
	}
	return x, y
}

// settled returns the range of Y by the rule of LeaveOutFirst.
func (c Chart) settled() Span {
	longest := 1
	for _, l := range c.lines() {
		longest = max(longest, len(l.X))
	}
	from := func(k int) Span { _, y := c.held(k, longest); return y }
	most := (longest + 9) / 10
	if longest-most < 3 || from(most).isEmpty() {
		return from(0)
	}
	k := 0
	for k < most && from(k).size() > 2*from(most).size() {
		k++
	}
	return from(k)
}

func (c Chart) lines() (lines []Line) {
	for _, l := range c.Layers {
		if line, ok := l.(Line); ok {
			lines = append(lines, line)
		}
	}
	return lines
}
