package train

import (
	"context"

	"elbo/train/run"
)

// Method is a way of fitting a model, one pass over the training images after another.
type Method interface {
	// Begin sets the model to a state, or to the first parameters where from is nil.
	Begin(from *run.State) error
	// Status says whether there is a pass to make: not where it is Finished.
	Status() Status
	// Pass makes one pass and returns its line of metrics, with the terms of the
	// validation images. best says whether these may be the best so far. It saves what a
	// run needs to go on where it is interrupted.
	Pass(ctx context.Context) (m run.Metrics, best bool, err error)
	// Turn goes on to the next pass, once the line of this one is written. save says
	// whether the state that it leaves is still to be saved.
	Turn(m run.Metrics) (status Status, save bool)
	// State is all that a run needs to go on.
	State() (*run.State, error)
	// At is where the run stands: its step, its epoch, and images seen of it.
	At() (step int64, epoch, position int)
	// Result adds what the method knows of how the run ended.
	Result(*Result)
}
