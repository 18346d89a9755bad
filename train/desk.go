package train

import (
	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
)

// evaluationRows is how many draws are decoded at once: enough for a matrix product
// to run at full speed, few enough to stay near a worker's cache. Of large images they
// are fewer, as many as have evaluationPixels together: a worker holds them four times
// over, and no product is thin with pixels by the ten thousand.
const (
	evaluationRows   = 500
	evaluationPixels = 1 << 23
)

// rowsOf is how many draws of images of d pixels are decoded at once.
func rowsOf(d int) int { return max(1, min(evaluationRows, evaluationPixels/d)) }

// blocks is how many images of d pixels, and draws for each, are scored at once.
func blocks(draws, d int) (images, block int) {
	rows := rowsOf(d)
	block = min(draws, rows)
	return rows / block, block
}

// desk is what one worker needs to score a block of images with draws from their
// posteriors.
type desk struct {
	model         *model.VAE
	draws         int
	images, block int // images, and draws for each, that are scored at once
	encoder       *model.Encoder
	scorer        *model.Scorer
	x, eps        []float32
	noise         []*data.Stream // one an image of a block
}

// newDesk compiles what scoring blocks of images with draws for each needs.
func newDesk(m *model.VAE, draws, images, block int) (*desk, error) {
	_, noise := m.Q.Posterior.Sizes()
	k := &desk{
		model: m, draws: draws, images: images, block: block,
		x:   make([]float32, images*m.Pixels),
		eps: make([]float32, images*block*noise),
	}
	for range images {
		k.noise = append(k.noise, new(data.Stream))
	}
	var err error
	if k.encoder, err = m.NewEncoder(images); err != nil {
		return nil, err
	}
	k.scorer, err = m.NewScorer(m.Q.Posterior, images, block)
	return k, err
}

// begin fills in the pixels of the images of a block and sets their noise to its
// beginning.
func (k *desk) begin(v data.View, images []int, seed uint64, purpose string) {
	d := v.D()
	for slot, i := range images {
		v.Pixels(k.x[slot*d:][:d], i, 0)
		k.noise[slot].Reset(seed, purpose+v.Part(), uint64(v.Index(i)))
	}
}

// score draws from the posteriors of the first n images of the block and returns
// their mean log-likelihood, the mean of log p(z) - log q(z|x), their importance weights
// and the largest of these.
func (k *desk) score(h []float32, n int) (recons, ratios []float64, weights []infer.Weights, tails []*infer.Tail, err error) {
	recons, ratios, weights, tails = make([]float64, n), make([]float64, n), make([]infer.Weights, n), make([]*infer.Tail, n)
	for i := range tails {
		tails[i] = infer.NewTail(k.draws)
	}
	err = k.each(h, n, func(i, _ int, logLik, ratio float64) {
		recons[i] += logLik / float64(k.draws)
		ratios[i] += ratio / float64(k.draws)
		weights[i].Add(logLik + ratio)
		tails[i].Add(logLik + ratio)
	})
	return recons, ratios, weights, tails, err
}

// each calls f for all draws from the posteriors of the first n images of the block, with
// log p(x|z) and log p(z) - log q(z|x): i is the image, row the draw's row in eps.
func (k *desk) each(h []float32, n int, f func(i, row int, logLik, ratio float64)) error {
	_, z := k.model.Q.Posterior.Sizes()
	for done := 0; done < k.draws; done += k.block {
		for i := range n {
			row := k.eps[i*k.block*z:][:k.block*z]
			for j := range row {
				row[j] = float32(k.noise[i].NormFloat64())
			}
		}
		logLik, ratio, err := k.scorer.Score(k.x, h, k.eps)
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

// divergence is KL(q(z|x) ‖ p(z)) of one posterior, in nats: in closed form, or else minus
// the mean over its draws of log p(z) - log q(z|x).
func (k *desk) divergence(h []float32, meanLogRatio float64) float64 {
	perDim, ok := klPerDimension(k.model, h)
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
func klPerDimension(m *model.VAE, h []float32) ([]float64, bool) {
	if closed, ok := m.Q.Posterior.(model.ClosedKL); ok {
		return closed.KLPerDimension(h, m.Prior)
	}
	return nil, false
}
