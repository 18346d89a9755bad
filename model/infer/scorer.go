package infer

import (
	"context"

	"elbo/data"
	"elbo/model"
)

// evaluationRows is how many draws are decoded at once: enough for a matrix product
// to run at full speed, few enough to stay near a worker's cache. Of large images they
// are fewer, as many as have evaluationPixels together: a worker holds them four times
// over, and no product is thin with pixels by the ten thousand.
const (
	evaluationRows   = 500
	evaluationPixels = 1 << 23
)

// ScoredRows is how many draws of images of d pixels are decoded at once: what a worker needs
// memory for.
func ScoredRows(d int) int { return max(1, min(evaluationRows, evaluationPixels/d)) }

// blocks is how many images of d pixels, and draws for each, are scored at once.
func blocks(draws, d int) (images, block int) {
	rows := ScoredRows(d)
	block = min(draws, rows)
	return rows / block, block
}

// scorer scores blocks of images with draws from their posteriors, for one worker.
type scorer struct {
	joint         *model.Joint
	family        model.Posterior
	draws         int
	images, block int // images, and draws for each, that are scored at once
	compiled      *model.Scorer
	x, eps        []float32
	noise         []*data.Stream // one an image of a block
	layers        []float64      // of the last score: sums over images of the mean over draws, see model.Scorer.Layers
}

// newScorer compiles what scoring blocks of images needs, with draws for each of which
// block are scored at once.
func newScorer(j *model.Joint, q model.Posterior, draws, images, block int) (*scorer, error) {
	_, noise := q.Sizes()
	k := &scorer{
		joint: j, family: q, draws: draws, images: images, block: block,
		x:   make([]float32, images*j.Pixels),
		eps: make([]float32, images*block*noise),
	}
	for range images {
		k.noise = append(k.noise, new(data.Stream))
	}
	var err error
	k.compiled, err = j.NewScorer(q, images, block)
	return k, err
}

// begin fills in the pixels of the images of a block and sets their noise to its
// beginning.
func (k *scorer) begin(v data.View, images []int, seed uint64, purpose string) {
	d := v.D()
	for slot, i := range images {
		v.Evaluated(k.x[slot*d:][:d], i)
		k.noise[slot].Reset(seed, purpose+v.Part(), uint64(v.Index(i)))
	}
}

// score draws from the posteriors of the first n images of the block and returns
// their mean log-likelihood, the mean of log p(z) - log q(z|x), their importance weights
// and the largest of these.
func (k *scorer) score(h []float32, n int) (recons, ratios []float64, weights []Weights, tails []*Tail, err error) {
	recons, ratios, weights, tails = make([]float64, n), make([]float64, n), make([]Weights, n), make([]*Tail, n)
	for i := range tails {
		tails[i] = NewTail(k.draws)
	}
	k.layers = nil
	err = k.each(h, n, func(i, row int, logLik, ratio float64) {
		for l, values := range k.compiled.Layers() {
			if l == len(k.layers) {
				k.layers = append(k.layers, 0)
			}
			k.layers[l] += float64(values[row]) / float64(k.draws)
		}
		recons[i] += logLik / float64(k.draws)
		ratios[i] += ratio / float64(k.draws)
		weights[i].Add(logLik + ratio)
		tails[i].Add(logLik + ratio)
	})
	return recons, ratios, weights, tails, err
}

// each calls f for all draws from the posteriors of the first n images of the block, with
// log p(x|z) and log p(z) - log q(z|x): i is the image, row the draw's row in eps.
func (k *scorer) each(h []float32, n int, f func(i, row int, logLik, ratio float64)) error {
	_, z := k.family.Sizes()
	for done := 0; done < k.draws; done += k.block {
		for i := range n {
			k.noise[i].Normals(k.eps[i*k.block*z:][:k.block*z])
		}
		logLik, ratio, err := k.compiled.Score(k.x, h, k.eps)
		if err != nil {
			return err
		}
		for i := range n {
			for s := range min(k.block, k.draws-done) {
				r := i*k.block + s
				f(i, r, float64(logLik[r]), float64(ratio[r]))
			}
		}
	}
	return nil
}

// bounds returns L[q] of some images of v, in nats, for their posteriors h, [images,
// H], by draws of a purpose.
func (k *scorer) bounds(ctx context.Context, v data.View, images []int, h []float32, seed uint64, purpose string) ([]float64, error) {
	width, _ := k.family.Sizes()
	all := make([]float64, 0, len(images))
	block := make([]float32, k.images*width)
	for first := 0; first < len(images); first += k.images {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		these := images[first:min(first+k.images, len(images))]
		k.begin(v, these, seed, purpose)
		copy(block, h[first*width:][:len(these)*width])
		recons, ratios, _, _, err := k.score(block, len(these))
		if err != nil {
			return nil, err
		}
		for i, recon := range recons {
			all = append(all, recon-k.divergence(block[i*width:][:width], ratios[i]))
		}
	}
	return all, nil
}

// divergence is KL(q(z|x) ‖ p(z)) of one posterior, in nats: in closed form, or else minus
// the mean over its draws of log p(z) - log q(z|x).
func (k *scorer) divergence(h []float32, meanLogRatio float64) float64 {
	if closed, ok := k.family.(model.ClosedTotal); ok {
		if kl, ok := closed.KLTotal(h, k.joint.Prior); ok {
			return kl
		}
	}
	perDim, ok := klPerDimension(k.family, k.joint.Prior, h)
	if !ok {
		return -meanLogRatio
	}
	sum := 0.0
	for _, kl := range perDim {
		sum += kl
	}
	return sum
}

// klPerDimension is KL(q(z|x) ‖ p(z)) of one posterior for each latent dimension, where it
// has such a form.
func klPerDimension(q model.Posterior, p model.Prior, h []float32) ([]float64, bool) {
	if closed, ok := q.(model.ClosedKL); ok {
		return closed.KLPerDimension(h, p)
	}
	return nil, false
}

// upTo returns 0, 1, ..., n-1.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}
