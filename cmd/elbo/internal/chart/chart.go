// Package chart draws charts: a [Chart] says what is to be seen, in plain structs, and is laid out once, as shapes
// on a page. Two renderers draw the shapes, as PNG and as SVG, and decide nothing: ranges, ticks, clipping, marks and
// colours are the same in both.
//
// Every function is pure: the same chart gives the same bytes, and whatever its values are, it is drawn, with a note
// of what could not be.
//
// Lengths are CSS pixels (1/96 inch), from the upper left corner of the page. A PNG has two pixels to each.
package chart

import (
	"errors"
	"fmt"
)

// Chart describes one panel.
type Chart struct {
	Title         string // with what it is of: model, data
	Alt           string // what it shows, for those who hear the page; "": the title
	Notes         []string
	Width, Height float64 // 0: 600, 320
	X, Y          Axis
	Equal         bool // a unit is as long on both axes

	// LeaveOutFirst is for curves whose first points lie far from the rest and would flatten it. The range of Y then
	// leaves out the fewest first points of each line, at most a tenth (rounded up) and only where three remain, that
	// bring it down to twice what leaving out the whole tenth would. The lines still enter the plot, and a note names
	// what lies outside.
	LeaveOutFirst bool

	Layers []Layer // the first at the bottom
}

// Axis is one of the two axes of a chart.
type Axis struct {
	Label string
	Range Span   // of the values shown; the zero Span: those of the layers, and a little more
	Log   bool   // logarithmic: values of 0 and less have no place
	Whole bool   // ticks at integers alone
	Ticks []Tick // nil: round values
	Each  string // what a value of the axis is, "epoch", for notes
}

// Layer is something drawn over the axes: a [Line], [Band], [Points], [Whiskers], [Ellipse], [Contour], [Heat] or
// [Label].
type Layer interface {
	check() error
	// hold calls add for all that ranges should hold, without the first skip(n) of a line of n points.
	hold(skip func(n int) int, add func(x, y float64))
	draw(f *frame)
	// key is the layer's name and sample in the legend: shapes about (0, 0), the middle of the left edge of a box of
	// the width. An empty name is not in the legend.
	key() (name string, width float64, sample []Shape)
}

// Sheet is charts in rows, the first row on top.
type Sheet [][]Chart

func (c Chart) size() (width, height float64) {
	width, height = c.Width, c.Height
	if width == 0 {
		width = 600
	}
	if height == 0 {
		height = 320
	}
	return width, height
}

func (c Chart) check() error {
	var faults []error
	for _, l := range c.Layers {
		if err := l.check(); err != nil {
			faults = append(faults, fmt.Errorf("chart %q: %w", c.Title, err))
		}
	}
	return errors.Join(faults...)
}

// shapes lays the sheet out.
func (s Sheet) shapes() (shapes []Shape, width, height float64, err error) {
	var faults []error
	for _, row := range s {
		left, high := 0.0, 0.0
		for _, c := range row {
			faults = append(faults, c.check())
			w, h := c.size()
			if err := errors.Join(faults...); err == nil {
				for _, shape := range c.shapes(margin) {
					shapes = append(shapes, shape.moved(left, height))
				}
			}
			left, high = left+w, max(high, h)
		}
		width, height = max(width, left), height+high
	}
	if err := errors.Join(faults...); err != nil {
		return nil, 0, 0, err
	}
	if width < 1 || height < 1 {
		return nil, 0, 0, fmt.Errorf("chart: a sheet of %g×%g pixels, want a chart on it", width, height)
	}
	return shapes, width, height, nil
}
