package train

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Axis is a setting and the values that it takes in a sweep, as a flag would be written.
type Axis struct {
	Setting string   `json:"setting"`
	Values  []string `json:"values"`
}

// Sweep is a set of runs: every combination of the values of some settings.
type Sweep struct {
	Axes   []Axis  // settings of several values, in the order of Options, but seed last
	Points []Point // the last axis runs fastest
}

// Point is a run of a sweep.
type Point struct {
	Name   string   // of its directory, such as components-10_seed-2
	Values []string // of the axes
	Config Config
}

// MostPoints is how many runs a sweep may have.
const MostPoints = 1000

// NewSweep returns the runs of a configuration with settings of one value or of several each. Where
// model is among them, the defaults are those of that kind. All faults are told at once. What would
// make runs incomparable, other data or another likelihood, has one value in a sweep.
func NewSweep(base Config, given []Axis) (*Sweep, error) {
	s := &Sweep{}
	var order []string // of all settings
	var faults []error
	for _, o := range Options() {
		order = append(order, o.Key)
	}
	axes := slices.Clone(given)
	slices.SortStableFunc(axes, func(a, b Axis) int { return slices.Index(order, a.Setting) - slices.Index(order, b.Setting) })
	if i := slices.IndexFunc(axes, func(a Axis) bool { return a.Setting == "seed" }); i >= 0 {
		axes = append(slices.Delete(slices.Clone(axes), i, i+1), axes[i])
	}
	points := 1
	for _, a := range axes {
		switch {
		case len(a.Values) == 0:
			faults = append(faults, fmt.Errorf("%s is empty, want a value", a.Setting))
		case len(a.Values) > 1 && slices.Contains([]string{"data", "split", "binarise", "likelihood"}, a.Setting):
			faults = append(faults, fmt.Errorf("%s has %d values, but bounds on one do not compare with bounds on another: want one, and a sweep for each", a.Setting, len(a.Values)))
		case len(a.Values) > 1:
			s.Axes = append(s.Axes, a)
		}
		points = min(points*max(1, len(a.Values)), MostPoints+1) // no overflow
	}
	if points > MostPoints {
		faults = append(faults, fmt.Errorf("the values combine to more than %d runs: want fewer values", MostPoints))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, &ConfigError{err}
	}
	var said []*pointFault
	choice := make([]int, len(axes))
	for range points {
		p, err := newPoint(base, axes, choice)
		for _, fault := range unjoined(err) {
			i := slices.IndexFunc(said, func(f *pointFault) bool { return f.err.Error() == fault.Error() })
			if i < 0 {
				i, said = len(said), append(said, &pointFault{err: fault, first: describe(axes, choice)})
			}
			said[i].runs++
		}
		s.Points = append(s.Points, p)
		for i := len(choice) - 1; i >= 0; i-- {
			if choice[i]++; choice[i] < len(axes[i].Values) {
				break
			}
			choice[i] = 0
		}
	}
	for _, f := range said {
		if f.runs < points {
			f.err = fmt.Errorf("%w (found in %d of %d runs; the first is %s)", f.err, f.runs, points, f.first)
		}
		faults = append(faults, f.err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, &ConfigError{err}
	}
	names := map[string]string{}
	for _, p := range s.Points {
		name := strings.Join(p.Values, ", ")
		if _, twice := names[p.Name]; twice {
			return nil, &ConfigError{fmt.Errorf("%s is there twice, want each value once", name)}
		}
		names[p.Name] = name
	}
	if len(s.Points) < 2 {
		return nil, &ConfigError{errors.New("a sweep of one run: want a setting with several values, as in components 10,20,50")}
	}
	for i := range s.Axes { // as the points have them
		s.Axes[i].Values = nil
		for _, p := range s.Points {
			if !slices.Contains(s.Axes[i].Values, p.Values[i]) {
				s.Axes[i].Values = append(s.Axes[i].Values, p.Values[i])
			}
		}
	}
	return s, nil
}

// pointFault is a fault of some runs of a sweep.
type pointFault struct {
	err   error
	runs  int    // that have it
	first string // of them
}

// describe is the choice of a run, as "prior vamp, posterior full".
func describe(axes []Axis, choice []int) string {
	var parts []string
	for i, a := range axes {
		if len(a.Values) > 1 {
			parts = append(parts, a.Setting+" "+a.Values[choice[i]])
		}
	}
	return strings.Join(parts, ", ")
}

// newPoint returns the run of one choice of values.
func newPoint(base Config, axes []Axis, choice []int) (Point, error) {
	c := base.Clone()
	var faults []error
	for i, a := range axes {
		if model := a.Values[choice[i]]; a.Setting == "model" && model != c.Model {
			c = DefaultConfig(model)
		}
	}
	own := map[string]Value{}
	for _, o := range c.Options() {
		own[o.Key] = o.Value
	}
	known := Options()
	var p Point
	var name []string
	for i, a := range axes {
		text := a.Values[choice[i]]
		value, ok := own[a.Setting]
		if !ok {
			if at := slices.IndexFunc(known, func(o Option) bool { return o.Key == a.Setting }); at >= 0 {
				faults = append(faults, known[at].NotOf(c.Model, a.Setting))
			} else {
				faults = append(faults, fmt.Errorf("there is no setting %s", a.Setting))
			}
			continue
		}
		if err := value.Set(text); err != nil {
			faults = append(faults, fmt.Errorf("%s is %w", a.Setting, err))
			continue
		}
		if len(a.Values) > 1 {
			text = value.String() // 010 and 10 are one value
			switch {
			case text == "":
				text = "none"
			case value.Type() == "NxN":
				text = strings.ReplaceAll(text, ",", "x")
			}
			p.Values = append(p.Values, text)
			name = append(name, a.Setting+"-"+fileName(text))
		}
	}
	p.Name, p.Config = strings.Join(name, "_"), c
	if len(faults) == 0 {
		faults = append(faults, c.Validate())
	}
	return p, errors.Join(faults...)
}

// fileName is a value with nothing in it that a directory's name should not have.
func fileName(value string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '.', r == '+':
			return r
		}
		return '-'
	}, value)
}

// unjoined are the errors that errors.Join has put together.
func unjoined(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, unjoined(one)...)
	}
	return all
}

// KindWith returns the first of the kinds that has all of the settings, and false where none has.
func KindWith(settings []string) (Kind, bool) {
	for _, k := range Kinds() {
		c := k.Config()
		options := c.Options()
		if !slices.ContainsFunc(settings, func(key string) bool {
			return !slices.ContainsFunc(options, func(o Option) bool { return o.Key == key })
		}) {
			return k, true
		}
	}
	return Kind{}, false
}

// Several splits texts that were given for an option into its values. Commas stand between values;
// where they stand within one, as in hidden 400,200, semicolons do, and a path is one value.
func (o Option) Several(texts []string) []string {
	separator := ","
	switch kind := o.Value.Type(); {
	case kind == "PATH" || kind == "RUN|CHECKPOINT":
		return texts
	case strings.Contains(kind, ","):
		separator = ";"
	}
	var values []string
	for _, text := range texts {
		for _, value := range strings.Split(text, separator) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// Group are runs of a sweep that differ in nothing but their seed.
type Group struct {
	Values []string // of the axes but seed
	Points []int    // of the sweep
}

// Groups returns the runs by their values but seed, in the order of the sweep.
func (s *Sweep) Groups() []Group {
	var groups []Group
	for i, p := range s.Points {
		values := p.Values
		if s.Repeated() {
			values = values[:len(values)-1]
		}
		at := slices.IndexFunc(groups, func(g Group) bool { return slices.Equal(g.Values, values) })
		if at < 0 {
			at, groups = len(groups), append(groups, Group{Values: values})
		}
		groups[at].Points = append(groups[at].Points, i)
	}
	return groups
}

// Repeated reports whether seed is among the axes: the last, then.
func (s *Sweep) Repeated() bool {
	return len(s.Axes) > 0 && s.Axes[len(s.Axes)-1].Setting == "seed"
}
