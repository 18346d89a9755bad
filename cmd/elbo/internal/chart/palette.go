package chart

import (
	"fmt"
	"image/color"
	"maps"
	"slices"
	"strings"
)

// Ink is a colour by its name.
type Ink string

// The inks of the page itself.
const (
	Paper Ink = "paper"
	Black Ink = "ink"   // titles, contours
	Soft  Ink = "soft"  // axis labels, captions and notes
	Rule  Ink = "rule"  // axis lines
	Hair  Ink = "hair"  // grid lines
	Fault Ink = "fault" // what is not a number
)

const (
	curveInks = 6
	groupInks = 10
)

// CurveInk is the colour of the i-th curve, or model: fewer than the groups', because a thin line needs more contrast
// to the page than a dot, and the first two, training and validation as a rule, as different as can be. By day they
// are the darker colours of Okabe and Ito, "Color universal design" (2008), in another order; by night, lighter ones
// of the same hues, found by a search that kept any two apart to all eyes.
func CurveInk(i int) Ink { return Ink(fmt.Sprintf("c%d", i%curveInks)) }

// GroupInk is the colour of the i-th group of dots, a label as a rule. These were found by a search that kept any two
// of them, and each of them and the page, as far apart as it could, to normal eyes and to the three kinds of
// dichromats, without leaving the neighbourhood of a muted scheme; a test holds the distance it reached. Digits that a
// two-dimensional code confuses (4, 7 and 9; 3, 5 and 8) are given colours that also differ in lightness.
func GroupInk(i int) Ink { return Ink(fmt.Sprintf("g%d", i%groupInks)) }

// inks are the colours by day and by night; where there is one, it is for a white page alone.
var inks = map[Ink][]color.RGBA{
	Paper: {rgb(0xffffff), rgb(0x1c1f23)},
	Black: {rgb(0x1c1e21), rgb(0xeceef0)},
	Soft:  {rgb(0x55595f), rgb(0xb3b9c0)},
	Rule:  {rgb(0x8b9097), rgb(0x848b94)},
	Hair:  {rgb(0xe4e5e7), rgb(0x31353b)},
	Fault: {rgb(0xdc0000), rgb(0xff5c5c)},

	"c0": {rgb(0x0072b2), rgb(0x38bfff)}, // blue
	"c1": {rgb(0xd55e00), rgb(0xf3792d)}, // vermilion
	"c2": {rgb(0x009e73), rgb(0x1cae83)}, // green
	"c3": {rgb(0xcc79a7), rgb(0xe68ec4)}, // mauve
	"c4": {rgb(0x000000), rgb(0xffffff)}, // black, white
	"c5": {rgb(0x56b4e9), rgb(0xf0e060)}, // sky, yellow

	"g0": {rgb(0x162324)}, // ink
	"g1": {rgb(0xa83598)}, // purple
	"g2": {rgb(0x0b7b21)}, // green
	"g3": {rgb(0xdcc06b)}, // sand
	"g4": {rgb(0x84c2ee)}, // sky
	"g5": {rgb(0x870957)}, // wine
	"g6": {rgb(0x9fa020)}, // olive
	"g7": {rgb(0xcc646b)}, // rose
	"g8": {rgb(0x39b0aa)}, // teal
	"g9": {rgb(0x2d2f8c)}, // indigo
}

func rgb(v uint32) color.RGBA { return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255} }

func (i Ink) light() color.RGBA { return inks[i][0] }
func (i Ink) byNight() bool     { return len(inks[i]) > 1 }

// RGBA makes an ink a colour of a white page.
func (i Ink) RGBA() (r, g, b, a uint32) { return i.light().RGBA() }

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// CSS is the style sheet of a page that has charts [Chart.Inline]: each ink as a variable, with its colour by day and
// by night, and as the class of what is filled or stroked with it.
func CSS() string {
	var day, night, classes strings.Builder
	for _, ink := range slices.Sorted(maps.Keys(inks)) {
		if !ink.byNight() {
			continue
		}
		fmt.Fprintf(&day, " --%s: %s;", ink, hex(inks[ink][0]))
		fmt.Fprintf(&night, " --%s: %s;", ink, hex(inks[ink][1]))
		fmt.Fprintf(&classes, ".f-%[1]s { fill: var(--%[1]s); } .s-%[1]s { stroke: var(--%[1]s); }\n", ink)
	}
	return fmt.Sprintf(":root {%s }\n@media (prefers-color-scheme: dark) { :root {%s } }\n%s", &day, &night, &classes)
}
