package main

import (
	"time"

	"elbo/train"
	"elbo/train/run"
)

// drawEvery is how often the pictures of a run that is in training are drawn anew, at most.
const drawEvery = 20 * time.Second

// illustrated is a recorder that draws samples.png and curves.png while the run goes on.
type illustrated struct {
	p     *program
	s     *train.Setup
	dir   *run.Dir
	drawn time.Time
}

func newIllustrated(p *program, s *train.Setup, dir *run.Dir) *illustrated {
	return &illustrated{p, s, dir, p.now()}
}

// Step does nothing: what a step changes is too little to be drawn.
func (r *illustrated) Step(train.Progress) {}

// Epoch draws after the line of an epoch, where the last drawing is long enough ago. A
// picture that fails is no reason to end a run: it is said, and tried again.
func (r *illustrated) Epoch(run.Metrics) {
	if r.p.now().Sub(r.drawn) < drawEvery {
		return
	}
	metrics, err := r.dir.ReadMetrics()
	if err == nil {
		err = newGallery(r.s, r.dir).during(metrics)
	}
	if err != nil {
		r.p.say("warning: the pictures of %s were not drawn: %v", r.dir.Path, err)
	}
	r.drawn = r.p.now()
}

// Restart goes on with the pictures of a restart.
func (r *illustrated) Restart(_, _ int, s *train.Setup, dir *run.Dir, _ *run.State, _ []error) error {
	r.s, r.dir, r.drawn = s, dir, r.p.now()
	return nil
}

// Restarted does nothing: the pictures of the run are drawn at its end.
func (r *illustrated) Restarted([]train.Restarted) {}
