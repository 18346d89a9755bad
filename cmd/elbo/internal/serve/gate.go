package serve

import (
	"context"
	"errors"
	"sync/atomic"
)

// errBusy: as many requests wait as may.
var errBusy = errors.New("too many requests are waiting: try again in a second")

// gate lets one request compute at a time, as each has all cores, and so many wait.
type gate struct {
	turn    chan struct{}
	waiting atomic.Int64 // with the one that computes
	most    int64
}

func newGate(most int) *gate { return &gate{turn: make(chan struct{}, 1), most: int64(most)} }

// do calls f when it is the request's turn. It fails with errBusy at once where too many wait,
// and with the context's error where its turn did not come before that ended.
func (g *gate) do(ctx context.Context, f func() error) error {
	if g.waiting.Add(1) > g.most {
		g.waiting.Add(-1)
		return errBusy
	}
	defer g.waiting.Add(-1)
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.turn }()
	return f()
}
