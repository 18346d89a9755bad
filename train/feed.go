package train

import (
	"elbo/data"
	"elbo/model"
)

// feed makes the batches of training, one after the other. A batch is a pure function of the
// configuration, the epoch and the position in it: nothing in it depends on what was fed
// before.
//
// The workers make it together, between two steps. A goroutine of its own would have to take
// one of their cores, and the scheduler would move the program's main goroutine to another one
// in every step, away from the weights that are in its caches.
type feed struct {
	setup *Setup
	own   VAESettings
	model *model.VAE
	kept  *data.DrawnBits // of images that are the same in every epoch, else nil
	batch *fedBatch
	order []int32 // of the present epoch

	epoch, position int // of the next batch
}

type fedBatch struct {
	model.Batch
	epoch, position int // images of the epoch before this batch
}

// newFeed feeds batches from a position in an epoch to the end of the last epoch, into the
// input of the model's compiled step.
func newFeed(s *Setup, own VAESettings, m *model.VAE, epoch, position int) *feed {
	f := &feed{setup: s, own: own, model: m, epoch: epoch, position: position, batch: &fedBatch{Batch: *m.InputBatch()}}
	if s.Train.Mode != data.Dynamic {
		f.kept = s.Train.DrawnBits()
	}
	return f
}

// next returns the next batch, or nil after the last. It is valid until the next call.
func (f *feed) next() *fedBatch {
	s, n := f.setup, f.setup.Train.N()
	if f.position >= n {
		f.epoch, f.position, f.order = f.epoch+1, 0, f.order[:0]
	}
	if f.epoch > s.Config.Epochs {
		return nil
	}
	if len(f.order) == 0 {
		f.order = data.Order(f.order, n, s.Config.Seed, f.epoch)
	}
	b := f.batch
	b.epoch, b.position, b.Beta = f.epoch, f.position, float32(f.own.betaAt(f.epoch, f.position, n))
	f.fill(f.order[f.position:min(f.position+f.own.Batch, n)])
	f.position += f.own.Batch
	return b
}

// feedGrain is the least number of pixels and draws that makes a shard of a batch worth a
// hand-off: each takes some nanoseconds.
const feedGrain = 1 << 11

// fill makes this process' share of the batch of the given training images in the batch's epoch:
// pixels and noise come from streams of their own for each image, pixels that were kept from there.
func (f *feed) fill(images []int32) {
	s, b := f.setup, f.batch
	_, noises := f.model.Q.Posterior.Sizes()
	d, row := s.Train.D(), f.model.Draws*noises
	b.Of = len(images)
	images = deal(s.Reducer, images, s.Train.N())
	b.Images = len(images)
	if prior, ok := f.model.Prior.(model.LeavesOut); ok {
		for i, image := range images {
			b.Own[i] = float32(prior.Own(int(image)))
		}
	}
	s.Engine.Split(len(images), 1+feedGrain/(d+row), func(lo, hi int) {
		var noise data.Stream
		for i := lo; i < hi; i++ {
			image := int(images[i])
			if x := b.X[i*d:][:d]; f.kept != nil {
				f.kept.Pixels(x, image)
			} else {
				s.Train.Pixels(x, image, b.epoch)
			}
			noise.Reset(s.Config.Seed, "eps/"+s.Train.Part(), uint64(b.epoch), uint64(s.Train.Index(image)))
			noise.Normals(b.Eps[i*row:][:row])
		}
	})
}

// betaAt is the weight of the divergence: it rises in a straight line from 0 to Beta
// over the first Warmup epochs.
func (s VAESettings) betaAt(epoch, position, n int) float64 {
	if passed := float64(epoch-1) + float64(position)/float64(n); passed < float64(s.Warmup) {
		return s.Beta * passed / float64(s.Warmup)
	}
	return s.Beta
}
