// Package sparkline draws a series of numbers as a line of characters, each as high, or as dark,
// as its number.
package sparkline

import (
	"math"
	"strings"
)

// Marks are the characters of a line, from that of the lowest number to that of the highest.
type Marks []rune

// Blocks are marks of eight heights, and ASCII as many degrees of darkness for where there are
// no other characters.
var (
	Blocks = Marks("▁▂▃▄▅▆▇█")
	ASCII  = Marks(".:-=+*#@")
)

// Scale is the range of numbers that the marks stand for: the lowest mark for Low, the highest
// for High. Numbers beyond it have the nearest mark.
type Scale struct{ Low, High float64 }

// settledShare is the share of a series, the first of its numbers, that Settled may leave out.
const settledShare = 0.1

// Settled is the range of a series, without up to a tenth of it at its beginning where that
// more than halves the range: what a run comes to in its first epochs lies far from the rest,
// and would flatten it. Numbers that are not finite do not count. Without any it is empty.
func Settled(values []float64) Scale {
	most := int(math.Ceil(settledShare * float64(len(values))))
	whole, least := rangeOf(values), rangeOf(values[most:])
	if len(values)-most < 3 || least.empty() {
		return whole
	}
	for k := range most {
		if s := rangeOf(values[k:]); s.size() <= 2*least.size() {
			return s
		}
	}
	return least
}

func rangeOf(values []float64) Scale {
	s := Scale{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		if finite(v) {
			s.Low, s.High = min(s.Low, v), max(s.High, v)
		}
	}
	return s
}

func (s Scale) empty() bool   { return s.High < s.Low }
func (s Scale) size() float64 { return s.High - s.Low }
func finite(v float64) bool   { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Line draws a series in so many columns or fewer. Each number has a column of its own where
// there is room; else the columns share the numbers evenly, as they follow each other, and each
// shows the mean of its own. A number that is not finite counts for nothing in a mean, and is a
// blank by itself. Where the scale is a single number, its mark is one in the middle.
func (s Scale) Line(values []float64, columns int, marks Marks) string {
	var line strings.Builder
	for _, v := range pool(values, columns) {
		if !finite(v) || s.empty() {
			line.WriteByte(' ')
			continue
		}
		line.WriteRune(marks[s.level(v, len(marks))])
	}
	return line.String()
}

// level is the mark of a number, of so many: the range is cut into equal parts, one for each.
func (s Scale) level(v float64, of int) int {
	part := (v/2 - s.Low/2) / (s.High/2 - s.Low/2) // halves, as a range may be too large for a number
	switch {
	case v < s.Low:
		return 0
	case v > s.High:
		return of - 1
	case math.IsNaN(part): // of a range without extent
		return of / 2
	}
	return min(int(float64(of)*part), of-1)
}

// pool returns the means of as many shares of a series as there are columns, NaN for one
// without a finite number.
func pool(values []float64, columns int) []float64 {
	if len(values) <= columns {
		return values
	}
	var pooled []float64
	for i := range columns {
		sum, n := 0.0, 0
		for _, v := range values[i*len(values)/columns : (i+1)*len(values)/columns] {
			if finite(v) {
				sum, n = sum+v, n+1
			}
		}
		pooled = append(pooled, sum/float64(n)) // NaN where n is 0
	}
	return pooled
}
