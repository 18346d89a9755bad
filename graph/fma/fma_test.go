package fma

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestFMAIsRoundedOnce holds the portable fused multiply-add to arbitrary precision, on
// numbers of all sizes and on those for which rounding to float64 first goes wrong.
func TestFMAIsRoundedOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	any32 := func() float32 {
		for {
			if v := math.Float32frombits(rng.Uint32()); v-v == 0 {
				return v
			}
		}
	}
	near := func(scale float64) float32 { // few digits, so that sums come to rest half way
		return float32(math.Ldexp(float64(1+rng.IntN(1<<12)), rng.IntN(12)) * scale * float64(1-2*rng.IntN(2)))
	}
	double := 0 // how often rounding twice is wrong
	for i := range 600_000 {
		var x, y, z float32
		switch i % 4 {
		case 0:
			x, y, z = any32(), any32(), any32()
		case 1: // the sum is near the smallest numbers
			x, y, z = near(0x1p-80), near(0x1p-80), near(0x1p-140)
		case 2: // the product reaches below z's last place
			z = float32(1 + rng.IntN(1<<24))
			x, y = near(0x1p-24), near(0x1p-24)
		case 3: // the product is half of z's last place and a little
			z = float32(1<<23 + rng.IntN(1<<23))
			x = float32(0.5 + math.Ldexp(1, -rng.IntN(24)))
			y = float32(1 - math.Ldexp(1, -rng.IntN(25)))
			if i&8 != 0 {
				z = -z
			}
		}
		exact := new(big.Float).SetPrec(1000).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
		exact.Add(exact, big.NewFloat(float64(z)))
		want, _ := exact.Float32()
		if got := FMA(x, y, z); got != want {
			t.Fatalf("fma(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
		if float32(math.FMA(float64(x), float64(y), float64(z))) != want {
			double++
		}
	}
	if double == 0 {
		t.Error("no case tells rounding once from rounding twice")
	}
	t.Logf("rounding twice is wrong in %d cases", double)
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range [][4]float32{{inf, 1, 1, inf}, {-inf, 1, 1, -inf}, {1, 1, inf, inf}, {math.MaxFloat32, 2, 0, inf}, {math.MaxFloat32, 2, -math.MaxFloat32, math.MaxFloat32}} {
		if got := FMA(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("fma(%g, %g, %g) = %g, want %g", c[0], c[1], c[2], got, c[3])
		}
	}
	for _, c := range [][3]float32{{inf, 0, 1}, {inf, 1, -inf}, {nan, 1, 1}, {1, 1, nan}} {
		if got := FMA(c[0], c[1], c[2]); got == got {
			t.Errorf("fma(%g, %g, %g) = %g, want NaN", c[0], c[1], c[2], got)
		}
	}
}
