package main

import (
	"elbo/train"
	"elbo/train/run"
)

// Restart begins the table of a restart.
func (g *progress) Restart(i, n int, s *train.Setup, dir *run.Dir, from *run.State, warnings []error) error {
	g.done()
	g.p.say("restart %d of %d", i+1, n)
	g.p.sayPassedOver(warnings)
	*g = *newProgress(g.p, s, from)
	if from == nil {
		return nil
	}
	return g.p.sayMetricsGoOn(dir, from)
}

// Restarted says how the restarts ended.
func (g *progress) Restarted(all []train.Restarted) {
	g.done()
	for i, r := range all {
		mark := ""
		if r.Chosen {
			mark = "  chosen"
		}
		g.p.say("restart %d: evidence plus penalty %.4f nats per image after %s%s", i+1, r.Objective, count(r.Iterations, "iteration"), mark)
	}
}

var _ train.RestartRecorder = (*progress)(nil)
