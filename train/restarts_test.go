package train

import (
	"context"
	"slices"
	"testing"

	"elbo/train/run"
)

// TestAProgramThatAsksForRestartsGetsThem: the run ends as the best of its restarts, and
// its parameters are those of the setup.
func TestAProgramThatAsksForRestartsGetsThem(t *testing.T) {
	c := emConfig(t, MixtureModel)
	c.mixture().Restarts = 3
	s, dir := newTestSetup(t, c), newHastyRun(t, c)
	result, err := Run(context.Background(), s, dir, nil, &emListener{}, still)
	if err != nil {
		t.Fatal(err)
	}
	objectives := make([]float64, c.mixture().Restarts)
	best := 0
	var lasts []*run.State
	for i := range objectives {
		one := c.Clone()
		one.mixture().Restarts, one.mixture().Restart = 1, i
		single := newHastyRun(t, one)
		_, _, lines := runEM(t, one, single, nil)
		objectives[i] = objectiveOf(lines[len(lines)-1])
		last, _, _ := single.Latest()
		lasts = append(lasts, last)
		if objectives[i] > objectives[best] {
			best = i
		}
	}
	if slices.Max(objectives) == slices.Min(objectives) {
		t.Fatal("all restarts end alike: nothing was chosen")
	}
	if s.Config.mixture().Restart != best || s.Config.mixture().Restarts != 1 || result.Step != lasts[best].Step {
		t.Errorf("chose restart %d at step %d, the best is %d (%v) at step %d", s.Config.mixture().Restart, result.Step, best, objectives, lasts[best].Step)
	}
	for i, p := range s.Tensors() {
		if !slices.Equal(p.Data, lasts[best].Params[i].Data) {
			t.Errorf("%s is not that of the best restart", p.Name)
		}
	}
	state, _, _ := dir.Latest()
	if state == nil || state.Step != result.Step {
		t.Errorf("the run's checkpoint is %+v", state)
	}
}
