package chart

import (
	"strings"
	"unicode"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// The sizes of texts. All are sans serif, which stays legible in the thin strokes of small print.
const (
	TitleSize   = 44. / 3 // 11 points
	LabelSize   = 12.     // 9 points
	CaptionSize = 32. / 3 // 8 points

	halo = 1.6 // width of the rim of a text that stands on data
)

// face is the font of texts in a size in points.
func face(points float64, bold bool) *font.Face {
	weight := xfont.WeightNormal
	if bold {
		weight = xfont.WeightBold
	}
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight, Size: vg.Length(points)}
	found := plot.DefaultTextHandler.Cache().Lookup(f, f.Size)
	return &found
}

// Width is that of the text, in CSS pixels.
func (s Text) Width() float64 { return float64(face(s.Size, s.Bold).Width(s.Value)) }

// Shortened returns the text in one line no wider than room, cut with an ellipsis if need be.
func (s Text) Shortened(room float64) Text {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s.Value)))
	s.Value = string(runes[:min(len(runes), 1000)])
	if len(runes) <= 1000 && s.Width() <= room {
		return s
	}
	for n := min(len(runes), 1000) - 1; n > 0; n-- {
		if s.Value = string(runes[:n]) + "…"; s.Width() <= room {
			return s
		}
	}
	s.Value = ""
	return s
}

// wrapped returns the text as lines no wider than room, two at most; what is left is cut.
func (s Text) wrapped(room float64) []Text {
	first, words := s, strings.Fields(s.Value)
	for n := len(words); n > 0; n-- {
		if first.Value = strings.Join(words[:n], " "); len(first.Value) > 1000 || first.Width() > room {
			continue
		}
		if n == len(words) {
			return []Text{first}
		}
		s.Value = strings.Join(words[n:], " ")
		return []Text{first, s.Shortened(room)}
	}
	if s = s.Shortened(room); s.Value == "" {
		return nil
	}
	return []Text{s}
}

// widest returns the width of the widest label of ticks.
func widest(ticks []Tick) (w float64) {
	for _, t := range ticks {
		w = max(w, Text{Size: LabelSize, Value: t.Label}.Width())
	}
	return w
}
