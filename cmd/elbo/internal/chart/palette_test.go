package chart

import (
	"image/color"
	"math"
	"testing"
)

// vector is a colour in linear light or in Oklab.
type vector [3]float64

type matrix [3]vector

func (m matrix) times(v vector) (r vector) {
	for i := range m {
		for j := range v {
			r[i] += m[i][j] * v[j]
		}
	}
	return r
}

// vision holds what dichromats see, as linear maps of linear sRGB: Machado, Oliveira and Fernandes, "A physiologically-based
// model for simulation of color vision deficiency" (2009), table for severity 1.
var vision = map[string]matrix{
	"normal":       {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

// linear undoes the transfer function of sRGB (IEC 61966-2-1).
func linear(c color.RGBA) (v vector) {
	for i, channel := range []uint8{c.R, c.G, c.B} {
		u := float64(channel) / 255
		if u <= 0.04045 {
			v[i] = u / 12.92
		} else {
			v[i] = math.Pow((u+0.055)/1.055, 2.4)
		}
	}
	return v
}

// oklab returns lightness and two opponent colours, in which distances are about as large as they look: Ottosson, "A perceptual
// color space for image processing" (2020).
func oklab(v vector) vector {
	for i := range v {
		v[i] = min(max(v[i], 0), 1)
	}
	cones := matrix{
		{0.4122214708, 0.5363325363, 0.0514459929},
		{0.2119034982, 0.6806995451, 0.1073969566},
		{0.0883024619, 0.2817188376, 0.6299787005},
	}.times(v)
	for i := range cones {
		cones[i] = math.Cbrt(cones[i])
	}
	return matrix{
		{0.2104542553, 0.7936177850, -0.0040720468},
		{1.9779984951, -2.4285922050, 0.4505937099},
		{0.0259040371, 0.7827717662, -0.8086757660},
	}.times(cones)
}

func apart(a, b color.RGBA, eyes matrix) float64 {
	u, v := oklab(eyes.times(linear(a))), oklab(eyes.times(linear(b)))
	return math.Sqrt((u[0]-v[0])*(u[0]-v[0]) + (u[1]-v[1])*(u[1]-v[1]) + (u[2]-v[2])*(u[2]-v[2]))
}

// About 0.02 in Oklab can just be told apart side by side; dots and lines are small and not side by side, so four times that is
// asked of any two labels, and more of what must stand out: any colour from the page, and training from validation.
func TestColoursCanBeToldApartByColourBlindEyes(t *testing.T) {
	for eyes, m := range vision {
		for i := range groupInks {
			a := GroupInk(i).light()
			if d := apart(a, Paper.light(), m); d < 0.17 {
				t.Errorf("%s: label %d is %.3f from the page, want 0.17", eyes, i, d)
			}
			for j := range i {
				if d := apart(a, GroupInk(j).light(), m); d < 0.08 {
					t.Errorf("%s: labels %d and %d are %.3f apart, want 0.08", eyes, j, i, d)
				}
			}
		}
		for night, want := range []struct{ page, each float64 }{{0.24, 0.07}, {0.4, 0.09}} {
			curve := func(i int) color.RGBA { return inks[CurveInk(i)][night] }
			for i := range curveInks {
				if d := apart(curve(i), inks[Paper][night], m); d < want.page {
					t.Errorf("%s: curve %d is %.3f from the page, want %g", eyes, i, d, want.page)
				}
				for j := range i {
					if d := apart(curve(i), curve(j), m); d < want.each {
						t.Errorf("%s: curves %d and %d are %.3f apart, want %g", eyes, j, i, d, want.each)
					}
				}
			}
			if d := apart(curve(0), curve(1), m); d < 0.15 {
				t.Errorf("%s: the first two curves are %.3f apart, want 0.15", eyes, d)
			}
		}
	}
}

// The test above rests on the simulation; tableau's red and green, notoriously alike, must fail by it.
func TestTheSimulationConfusesRedAndGreen(t *testing.T) {
	red, green := color.RGBA{0xd6, 0x27, 0x28, 255}, color.RGBA{0x2c, 0xa0, 0x2c, 255}
	if n, d := apart(red, green, vision["normal"]), apart(red, green, vision["deuteranopia"]); n < 0.3 || d > n/2 {
		t.Errorf("red and green are %.3f apart to normal eyes and %.3f to deuteranopes, want above 0.3 and less than half of it", n, d)
	}
}
