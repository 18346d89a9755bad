package main

import (
	"elbo/train"
	"elbo/train/run"
)

// recorders hear how a run goes, one after the other.
type recorders []train.RestartRecorder

// Step tells each of a step.
func (all recorders) Step(at train.Progress) {
	for _, r := range all {
		r.Step(at)
	}
}

// Epoch tells each of the end of an epoch.
func (all recorders) Epoch(m run.Metrics) {
	for _, r := range all {
		r.Epoch(m)
	}
}

// Restart tells each of a restart, until one fails.
func (all recorders) Restart(i, n int, s *train.Setup, dir *run.Dir, from *run.State, warnings []error) error {
	for _, r := range all {
		if err := r.Restart(i, n, s, dir, from, warnings); err != nil {
			return err
		}
	}
	return nil
}

// Restarted tells each how the restarts ended.
func (all recorders) Restarted(restarts []train.Restarted) {
	for _, r := range all {
		r.Restarted(restarts)
	}
}
