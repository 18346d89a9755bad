package chart

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Codes is a chart of two-dimensional codes, [N, 2] as (z1, z2) after (z1, z2), as dots on axes of equal scale. With
// labels, [N], dots are coloured by label, a legend names the labels in rising order, and each label stands at the
// median of its codes as well, so that colour is not the only key. Up to 30 labels differ in colour or form. Dots are
// drawn in the order of the codes. With labels nil all are of one colour. Codes that are not finite are left out and
// counted in a note.
//
// It is an error if xy is not of even length, or labels are given but not one for each code.
func Codes(xy []float32, labels []uint8, title string) (Chart, error) {
	var faults []error
	if len(xy)%2 != 0 {
		faults = append(faults, fmt.Errorf("chart: codes: %d values are not pairs (z1, z2)", len(xy)))
	}
	if labels != nil && len(labels) != len(xy)/2 {
		faults = append(faults, fmt.Errorf("chart: codes: %d labels for %d codes, want one each or nil", len(labels), len(xy)/2))
	}
	if err := errors.Join(faults...); err != nil {
		return Chart{}, err
	}
	c := Chart{Title: title, Width: 600, Height: 620, Equal: true, X: Axis{Label: "z₁"}, Y: Axis{Label: "z₂"}}
	dots := Points{Look: CurveLook(0)}
	var drawn []uint8 // labels of the dots
	for i := range len(xy) / 2 {
		x, y := float64(xy[2*i]), float64(xy[2*i+1])
		if !drawable(x) || !drawable(y) {
			continue
		}
		dots.X, dots.Y = append(dots.X, x), append(dots.Y, y)
		if labels != nil {
			drawn, dots.Looks = append(drawn, labels[i]), append(dots.Looks, groupLook(labels[i]))
		}
	}
	dots.Radius, dots.Opacity = 1.5, 0.45 // ten thousand dots: a cloud that is dark where it is dense, in which one still sees the single dot
	if len(dots.X) <= 1000 {
		dots.Radius, dots.Opacity = 2.7, 0.745
	}
	c.Notes = codeNotes(len(xy)/2, len(dots.X))
	c.Layers = append(c.Layers, dots)
	groups := slices.Compact(slices.Sorted(slices.Values(drawn)))
	for _, label := range groups {
		name := strconv.Itoa(int(label))
		c.Layers = append(c.Layers, Points{Name: name, Look: groupLook(label)})
		if len(groups) <= named {
			x, y := dots.median(drawn, label)
			c.Layers = append(c.Layers, Label{x, y, name})
		}
	}
	return c, nil
}

// named is the number of labels up to which each is written at its median; more would hide the codes.
const named = 20

// groupLook is the look of a label: ten colours, then the same colours in another form.
func groupLook(label uint8) Look {
	return Look{Ink: GroupInk(int(label)), Form: Form(int(label) / groupInks % 3)}
}

func codeNotes(given, drawn int) []string {
	switch bad := given - drawn; {
	case given == 0:
		return []string{"There is no code to draw."}
	case bad == 1:
		return []string{"1 code is not finite and not drawn."}
	case bad > 1:
		return []string{fmt.Sprintf("%d codes are not finite and not drawn.", bad)}
	}
	return nil
}

// median returns the median of a label's dots along each axis, the upper one of two.
func (p Points) median(labels []uint8, label uint8) (x, y float64) {
	var xs, ys []float64
	for i, l := range labels {
		if l == label {
			xs, ys = append(xs, p.X[i]), append(ys, p.Y[i])
		}
	}
	slices.Sort(xs)
	slices.Sort(ys)
	return xs[len(xs)/2], ys[len(ys)/2]
}
