package train

import (
	"context"
	"runtime"

	"elbo/data"
	"elbo/model"
)

// feed prepares batches in a goroutine of its own, ahead of the steps that use
// them. A batch is a pure function of the configuration, the epoch and the position
// in it: nothing in it depends on what was fed before.
type feed struct {
	batches chan *fedBatch
	spare   chan *fedBatch // buffers to be filled again
	stop    context.CancelFunc
	done    chan struct{}
}

type fedBatch struct {
	model.Batch
	epoch, position int // images of the epoch before this batch
}

// feedAhead is how many batches are ready or in the making: one in use, one ready,
// one being filled.
const feedAhead = 3

// newFeed starts to feed batches from a position in an epoch to the end of the last
// epoch. stop must be called.
func newFeed(s *Setup, own VAESettings, m *model.VAE, epoch, position int) *feed {
	ctx, stop := context.WithCancel(context.Background())
	f := &feed{
		batches: make(chan *fedBatch, feedAhead),
		spare:   make(chan *fedBatch, feedAhead),
		stop:    stop,
		done:    make(chan struct{}),
	}
	for range feedAhead {
		f.spare <- &fedBatch{Batch: *m.NewBatch(mostDealt(s.Reducer, own.Batch))}
	}
	go func() {
		defer close(f.done)
		defer close(f.batches)
		f.fill(ctx, s, own, m, epoch, position)
	}()
	return f
}

func (f *feed) fill(ctx context.Context, s *Setup, own VAESettings, m *model.VAE, epoch, position int) {
	n := s.Train.N()
	order := make([]int32, n)
	noise := new(data.Stream)
	var kept *data.DrawnBits
	if s.Train.Mode != data.Dynamic { // the same in every epoch
		kept = s.Train.DrawnBits()
	}
	for ; epoch <= s.Config.Epochs; epoch, position = epoch+1, 0 {
		order = data.Order(order, n, s.Config.Seed, epoch)
		for ; position < n; position += own.Batch {
			select {
			case <-ctx.Done():
				return
			case b := <-f.spare:
				b.epoch, b.position = epoch, position
				b.Beta = float32(own.betaAt(epoch, position, n))
				s.fillBatch(b, m, order[position:min(position+own.Batch, n)], kept, noise)
				f.batches <- b // never blocks: there is room for every buffer
			}
		}
	}
}

// fillBatch makes this process' share of the batch of the given training images in b's epoch:
// pixels and noise come from streams of their own for each image, pixels that were kept from there.
func (s *Setup) fillBatch(b *fedBatch, m *model.VAE, images []int32, kept *data.DrawnBits, noise *data.Stream) {
	_, noises := m.Q.Posterior.Sizes()
	d, row := s.Train.D(), m.Draws*noises
	b.Of = len(images)
	images = deal(s.Reducer, images, s.Train.N())
	b.Images = len(images)
	if prior, ok := m.Prior.(model.LeavesOut); ok {
		for i, image := range images {
			b.Own[i] = float32(prior.Own(int(image)))
		}
	}
	for i, image := range images {
		if x := b.X[i*d:][:d]; kept != nil {
			kept.Pixels(x, int(image))
		} else {
			s.Train.Pixels(x, int(image), b.epoch)
		}
		noise.Reset(s.Config.Seed, "eps/"+s.Train.Part(), uint64(b.epoch), uint64(s.Train.Index(int(image))))
		eps := b.Eps[i*row:][:row]
		for j := range eps {
			eps[j] = float32(noise.NormFloat64())
		}
	}
}

// betaAt is the weight of the divergence: it rises in a straight line from 0 to Beta
// over the first Warmup epochs.
func (s VAESettings) betaAt(epoch, position, n int) float64 {
	if passed := float64(epoch-1) + float64(position)/float64(n); passed < float64(s.Warmup) {
		return s.Beta * passed / float64(s.Warmup)
	}
	return s.Beta
}

// next returns the next batch, or nil after the last.
func (f *feed) next() *fedBatch { return <-f.batches }

// recycle gives a batch back to be filled again. It lets the feed run at once: left to
// the scheduler, the feed would wait for the caller to wait for it.
func (f *feed) recycle(b *fedBatch) {
	f.spare <- b
	runtime.Gosched()
}

// close ends the goroutine and waits for it.
func (f *feed) close() {
	f.stop()
	<-f.done
}
