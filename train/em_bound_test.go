package train

import (
	"math"
	"testing"

	"elbo/model"
)

// TestTheOldTableIsBetweenTwoEvidences: an M-step raises the bound of the table it was
// given (plus penalty) from the evidence, and the E-step after it raises it to the next
// evidence, by a divergence. The recorded bound is that of the definition, computed from the
// tables themselves.
func TestTheOldTableIsBetweenTwoEvidences(t *testing.T) {
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			c := emConfig(t, test.model)
			test.change(&c)
			known := c.table().Prior != model.PerImage && !SettingsOf[MixtureSettings](c).Accelerate
			_, _, lines := runEM(t, c, newHastyRun(t, c), nil)
			noted := 0
			for i, m := range lines {
				if m.EM.AfterMStep == nil {
					continue
				}
				noted++
				before := lines[i-1]
				// The evidence is summed in float32 over D pixels, for both lines; the
				// statistics are float32 as well, of up to 90 images.
				allowed := 2*evidenceRounding(before, 36) + 2*evidenceRounding(m, 36)
				if rise := *m.EM.AfterMStep + m.EM.Penalty - objectiveOf(before); rise < -allowed {
					t.Errorf("M-step %d changed bound plus penalty of its table by %g, want a rise (or %g of rounding)", i, rise, allowed)
				}
				if kl := m.Train.Bound - *m.EM.AfterMStep; kl < -allowed {
					t.Errorf("E-step %d changed the bound by %g, want a rise by KL(old ‖ new)", i, kl)
				}
			}
			if known && noted == 0 || !known && noted > 0 {
				t.Errorf("%d of %d lines have the bound of the old table", noted, len(lines))
			}
		})
	}
}

// TestTheOldTablesBoundIsThatOfItsDefinition computes Σ_K q (log p(x,z|θ') - log q) image
// by image, in float64, from the table before an M-step and the joint after it.
func TestTheOldTablesBoundIsThatOfItsDefinition(t *testing.T) {
	for _, name := range []string{MixtureModel, GridModel} {
		t.Run(name, func(t *testing.T) {
			c := emConfig(t, name)
			c.Epochs, c.table().Prior = 3, model.Shared
			dir := newHastyRun(t, c)
			dir.Keep = 10
			s, _, lines := runEM(t, c, dir, nil)
			e, err := tableOf(s).NewEStep(s.Train.N(), false, false)
			if err != nil {
				t.Fatal(err)
			}
			at := func(step int64) (joint, table []float32) {
				state, err := LoadCheckpoint(dir.File(checkpointOf(step)))
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Load(state); err != nil {
					t.Fatal(err)
				}
				e.Load(s.Train.Evaluated, 0, s.Train.N())
				if err := e.Run(s.Train.N()); err != nil {
					t.Fatal(err)
				}
				return append(joint, e.Joint()...), append(table, e.Table()...)
			}
			_, q := at(2)
			joint, _ := at(3)
			want := 0.0
			for i, q := range q {
				if q > 0 {
					want += float64(q) * (float64(joint[i]) - math.Log(float64(q)))
				}
			}
			want /= float64(s.Train.N())
			got := *lines[3].EM.AfterMStep
			// As above, and q and its logarithm in float32: K 2⁻²⁴ |log q| at most.
			if allowed := 4 * evidenceRounding(lines[3], s.Train.D()); math.Abs(got-want) > allowed {
				t.Errorf("bound of the old table %v, by its definition %v: they differ by %g, want at most %g", got, want, got-want, allowed)
			}
		})
	}
}
