package train

import (
	"elbo/data"
	"elbo/graph"
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
	k := &desk{
		model: m, draws: draws, images: images, block: block,
		x:   make([]float32, images*m.Config.Pixels),
		eps: make([]float32, images*block*m.Config.Latent),
	}
	for range images {
		k.noise = append(k.noise, new(data.Stream))
	}
	var err error
	if k.encoder, err = m.NewEncoder(images); err != nil {
		return nil, err
	}
	k.scorer, err = m.NewScorer(images, block)
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

// assess scores a block of images of v, and leaves the parameters of their posteriors.
func (k *desk) assess(v data.View, images []int, seed uint64, scores []ImageScore, posteriors []float32) error {
	z := k.model.Config.Latent
	k.begin(v, images, seed, "eps/evaluate/")
	h, err := k.encoder.Encode(k.x)
	if err != nil {
		return err
	}
	copy(posteriors, h)
	recons, weights, tails, err := k.score(h, len(scores))
	if err != nil {
		return err
	}
	for i := range scores {
		kl := divergence(h[i*2*z:][:2*z])
		scores[i] = ImageScore{
			Image: v.Index(images[i]),
			Recon: recons[i], KL: kl, ELBO: recons[i] - kl,
			IW: weights[i].Bound(), ESS: weights[i].EffectiveSampleSize(), KHat: tails[i].KHat(),
		}
	}
	return nil
}

// score draws from the posteriors of the first n images of the block and returns
// their mean log-likelihood, their importance weights and the largest of these.
func (k *desk) score(h []float32, n int) ([]float64, []model.Weights, []*model.Tail, error) {
	recons, weights, tails := make([]float64, n), make([]model.Weights, n), make([]*model.Tail, n)
	for i := range tails {
		tails[i] = model.NewTail(k.draws)
	}
	err := k.each(h, n, func(i, _ int, logLik, ratio float64) {
		recons[i] += logLik / float64(k.draws)
		weights[i].Add(logLik + ratio)
		tails[i].Add(logLik + ratio)
	})
	return recons, weights, tails, err
}

// each calls f for all draws from the posteriors of the first n images of the block, with
// log p(x|z) and log p(z) - log q(z|x): i is the image, row the draw's row in eps.
func (k *desk) each(h []float32, n int, f func(i, row int, logLik, ratio float64)) error {
	z := k.model.Config.Latent
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

// divergence is KL(N(μ, diag σ²) ‖ N(0, I)) for h = [μ | log σ²], in nats.
func divergence(h []float32) float64 {
	z, sum := len(h)/2, 0.0
	for j := range z {
		sum += graph.KLStdNormal(float64(h[j]), float64(h[z+j]))
	}
	return sum
}
