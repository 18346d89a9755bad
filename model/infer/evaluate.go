package infer

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"elbo/data"
	"elbo/model"
)

// Evaluation is what a model makes of a set of images: means over images of equal
// weight, in nats per image, with standard errors over images.
type Evaluation struct {
	Images  int     `json:"images"`
	Draws   int     `json:"draws,omitempty"` // of z for each image
	Recon   float64 `json:"recon"`           // E_q[log p(x|z)], the mean over the draws
	ReconSE float64 `json:"recon_se"`
	KL      float64 `json:"kl"` // KL(q(z|x) ‖ p(z)), in closed form, or the mean over the draws where there is none
	KLSE    float64 `json:"kl_se"`
	ELBO    float64 `json:"elbo"` // Recon - KL
	ELBOSE  float64 `json:"elbo_se"`

	// Of a VAE.
	IW          *IW       `json:"iw,omitempty"`
	KLPerDim    []float64 `json:"kl_per_dim,omitempty"`   // of each latent dimension; they sum to KL. nil where KL is no such sum
	ActiveUnits *int      `json:"active_units,omitempty"` // see ActiveThreshold
	Rate        *Rate     `json:"rate,omitempty"`         // KL in two parts, where asked for

	// Of a VAE with several stochastic layers, for each, that next to the image first.
	KLPerLayer     []float64 `json:"kl_per_layer,omitempty"`     // mean over draws of log q of the layer given that below, less log p given that above; they sum to KL
	ActivePerLayer []int     `json:"active_per_layer,omitempty"` // active units by z at ε = 0, the mean of each layer given that of the one below

	// Of a model with a table, whose ELBO is log p(x), and of a VAE by quadrature.
	LogP  *LogP         `json:"log_p,omitempty"`
	Gap   *PosteriorGap `json:"gap,omitempty"`
	Table *Table        `json:"table,omitempty"`

	AIS *AIS `json:"ais,omitempty"` // of a VAE, where asked for

	PerImage []ImageScore `json:"-"` // in the order of the view

	posteriors []float32 // of a VAE: h of each image, [N, H]
}

// LogP is log p(x), nats per image.
type LogP struct {
	Value  float64 `json:"value"`
	SE     float64 `json:"se"`
	Error  float64 `json:"error"` // of the method, not of the images
	Method string  `json:"method"`
	Missed int     `json:"missed,omitempty"` // images whose posterior the quadrature did not see, as their L_k is higher (Exact.Missed): for them Value has L_k
}

// PosteriorGap is log p(x) - ELBO = KL(q(z|x) ‖ p(z|x)) of a VAE whose log p(x) is known, nats per
// image. The ELBO's draws are in its standard error.
type PosteriorGap struct {
	Value float64 `json:"value"`
	SE    float64 `json:"se"`
}

// ImageScore is what a model makes of one image, in nats.
type ImageScore struct {
	Image int     // its number in the part of the data set that it is from
	Recon float64 // E_q[log p(x|z)]
	KL    float64 // KL(q(z|x) ‖ p(z))
	ELBO  float64 // Recon - KL
	IW    float64 // L_k; the ELBO of a model with a table
	ESS   float64 // effective sample size of L_k out of k; 0 for a model with a table
	KHat  float64 // shape of the tail of L_k's weights, see Tail; NaN where they are too few, 0 for a model with a table
	AIS   float64 // log p(x) by annealed importance sampling where Evaluation.AIS is known, else 0
	LogP  float64 // log p(x) where Evaluation.LogP is known, else 0
	Error float64 // of LogP, from the method

	Missed bool // LogP is L_k, as the quadrature did not see the posterior
}

// IW is the importance-weighted bound L_k of k draws, a lower bound on log p(x) in
// expectation.
type IW struct {
	K     int     `json:"k"`
	Bound float64 `json:"bound"`
	SE    float64 `json:"se"`
	ESS   float64 `json:"ess"` // effective sample size out of k, mean over images

	// Bias is what the bound lacks of log p(x) in expectation, to first order and as
	// far as the weights' variance can be known: the mean over images of
	// (1/ESS - 1/k)/2, in nats. Where k̂ is high it lacks more.
	//
	// Source: Nowozin 2018, "Debiasing evidence approximations".
	Bias float64 `json:"bias"`

	// Whether the weights have a mean that k of them can tell; nil with fewer than 21.
	KHat      *float64 `json:"k_hat,omitempty"`       // median over images of Tail's shape
	KHatBad   *float64 `json:"k_hat_bad,omitempty"`   // share of the images above the limit
	KHatLimit *float64 `json:"k_hat_limit,omitempty"` // KHatLimit(k)
}

// tails sums up the shapes of the images' weights.
func (iw *IW) tails(scores []ImageScore) {
	limit, bad := KHatLimit(iw.K), 0.0
	var shapes []float64
	for _, s := range scores {
		if math.IsNaN(s.KHat) {
			return // as of all: there are too few weights
		}
		if s.KHat > limit {
			bad++
		}
		shapes = append(shapes, s.KHat)
	}
	slices.Sort(shapes)
	n := len(shapes)
	median := (shapes[(n-1)/2] + shapes[n/2]) / 2
	bad /= float64(n) // divided once, as a sum of shares has digits that mean nothing
	iw.KHat, iw.KHatBad, iw.KHatLimit = &median, &bad, &limit
}

// ActiveThreshold is the variance over images of E_q[z|x], of an image's code where that
// mean is not known, above which a latent dimension counts as active.
//
// Source: Burda, Grosse, Salakhutdinov 2016, section 5.2.
const ActiveThreshold = 0.01

// Evaluator computes evaluations with a fixed number of draws. Workers score different
// images, each with programs of one worker: the figures do not depend on their number.
type Evaluator struct {
	Scored func(images int) // hears of images as they are scored, of one call at a time; may be nil
	Peers  Peers            // that score a part of the images each, all by a call of Evaluate; nil for none

	model   *model.VAE
	refresh func() error // of the prior of the workers
	draws   int
	images  int // in a block
	workers chan *worker
}

// worker is what one worker needs to score images with draws from their encoder's
// posteriors.
type worker struct {
	*scorer
	encoder *model.Encoder
}

// NewEvaluator compiles what evaluating m with the given number of draws for each
// image needs.
func NewEvaluator(m *model.VAE, draws int) (*Evaluator, error) {
	images, block := blocks(draws, m.Width())
	return newEvaluator(m, draws, images, block)
}

func newEvaluator(m *model.VAE, draws, images, block int) (*Evaluator, error) {
	workers := m.Engine.Workers
	joint, refresh, err := m.Fixed()
	if err != nil {
		return nil, err
	}
	e := &Evaluator{model: m, refresh: refresh, draws: draws, images: images, workers: make(chan *worker, workers)}
	fixed := *m
	fixed.Joint = joint
	serial := fixed.On(m.Engine.Serial())
	for range workers {
		encoder, err := serial.NewEncoder(images)
		if err != nil {
			return nil, err
		}
		scorer, err := newScorer(serial.Joint, serial.Q.Posterior, draws, images, block)
		if err != nil {
			return nil, err
		}
		e.workers <- &worker{scorer, encoder}
	}
	return e, nil
}

// Evaluate scores the images of v as evaluation sees them. The noise is a pure
// function of (seed, image, draw): evaluating again gives the same numbers, and more
// draws begin with the same ones. It stops with the context's error.
func (e *Evaluator) Evaluate(ctx context.Context, v data.View, seed uint64) (Evaluation, error) {
	if err := e.refresh(); err != nil { // parameters may have moved since the last call
		return Evaluation{}, err
	}
	width, _ := e.model.Q.Posterior.Sizes()
	scores := make([]ImageScore, v.N())
	posteriors := make([]float32, v.N()*width) // h of each image
	blocks := (v.N() + e.images - 1) / e.images
	faults, all := make([]error, blocks), upTo(v.N())
	layers := make([][]float64, blocks) // sums over images
	var scored sync.Mutex
	done := 0
	begin, beyond := Share(e.Peers, blocks)
	e.model.Engine.Split(beyond-begin, 1, func(lo, hi int) {
		k := <-e.workers
		defer func() { e.workers <- k }()
		for b := begin + lo; b < begin+hi && ctx.Err() == nil; b++ {
			first, end := b*e.images, min((b+1)*e.images, v.N())
			layers[b], faults[b] = k.assess(v, all[first:end], seed, scores[first:end], posteriors[first*width:end*width])
			if e.Scored != nil {
				scored.Lock()
				done += end - first
				e.Scored(done)
				scored.Unlock()
			}
		}
	})
	err := errors.Join(append(faults, ctx.Err())...)
	if err = gather(e.Peers, v, scores, posteriors, layers, err); err != nil {
		return Evaluation{}, err
	}
	return e.summarise(scores, posteriors, layers)
}

// assess scores a block of images of v, and leaves the parameters of their posteriors. It
// returns the sums over images of the divergence of each stochastic layer of several.
func (k *worker) assess(v data.View, images []int, seed uint64, scores []ImageScore, posteriors []float32) ([]float64, error) {
	width, _ := k.family.Sizes()
	k.begin(v, images, seed, "eps/evaluate/")
	h, err := k.encoder.Encode(k.x)
	if err != nil {
		return nil, err
	}
	copy(posteriors, h)
	recons, ratios, weights, tails, err := k.score(h, len(scores))
	if err != nil {
		return nil, err
	}
	for i := range scores {
		kl := k.divergence(h[i*width:][:width], ratios[i])
		scores[i] = ImageScore{
			Image: v.Index(images[i]),
			Recon: recons[i], KL: kl, ELBO: recons[i] - kl,
			IW: weights[i].Bound(), ESS: weights[i].EffectiveSampleSize(), KHat: tails[i].KHat(),
		}
	}
	return slices.Clone(k.layers), nil
}

// summarise takes means over images; layers are sums of what each stochastic layer of
// several has of KL.
func (e *Evaluator) summarise(scores []ImageScore, posteriors []float32, layers [][]float64) (Evaluation, error) {
	codes, err := e.model.Codes(posteriors)
	if err != nil {
		return Evaluation{}, err
	}
	z := e.model.Latent
	width, _ := e.model.Q.Posterior.Sizes()
	hasKL := true
	var recon, kl, elbo, iw, ess, bias Running
	means, perDim := make([]Running, z), make([]Running, z)
	for i, s := range scores {
		recon.Add(s.Recon)
		kl.Add(s.KL)
		elbo.Add(s.ELBO)
		iw.Add(s.IW)
		ess.Add(s.ESS)
		bias.Add((1/s.ESS - 1/float64(e.draws)) / 2)
		h := posteriors[i*width:][:width]
		for j, mean := range codes[i*z:][:z] {
			means[j].Add(float64(mean))
		}
		var kls []float64
		if kls, hasKL = klPerDimension(e.model.Q.Posterior, e.model.Prior, h); hasKL {
			for j, kl := range kls {
				perDim[j].Add(kl)
			}
		}
	}
	result := Evaluation{
		Images: len(scores), Draws: e.draws,
		Recon: recon.Mean, ReconSE: recon.StandardError(),
		KL: kl.Mean, KLSE: kl.StandardError(),
		ELBO: elbo.Mean, ELBOSE: elbo.StandardError(),
		IW: &IW{K: e.draws, Bound: iw.Mean, SE: iw.StandardError(), ESS: ess.Mean, Bias: bias.Mean},

		PerImage: scores, posteriors: posteriors,
	}
	result.IW.tails(scores)
	if hasKL {
		for _, kl := range perDim {
			result.KLPerDim = append(result.KLPerDim, kl.Mean)
		}
	}
	active := 0
	for _, mean := range means {
		if mean.Variance() > ActiveThreshold {
			active++
		}
	}
	result.ActiveUnits = &active
	if family, ok := e.model.Q.Posterior.(*model.LayeredPosterior); ok {
		result.addLayers(family.Layers.Latent, means, layers)
	}
	return result, nil
}

// addLayers adds what is known of each of several stochastic layers, of the given sizes.
func (e *Evaluation) addLayers(sizes []int, means []Running, sums [][]float64) {
	e.KLPerLayer = make([]float64, len(sizes))
	for _, block := range sums {
		for l, sum := range block {
			e.KLPerLayer[l] += sum / float64(e.Images)
		}
	}
	for _, z := range sizes {
		active := 0
		for _, mean := range means[:z] {
			if mean.Variance() > ActiveThreshold {
				active++
			}
		}
		e.ActivePerLayer, means = append(e.ActivePerLayer, active), means[z:]
	}
}

// AddExact gives the evaluation the log p(x) of its images by quadrature, as the method
// says. Where an image's L_k shows that the quadrature did not see its posterior, L_k stands
// in.
func (e *Evaluation) AddExact(exact []Exact, method string) {
	var logP, stated, gap Running
	missed := 0
	for i, x := range exact {
		score := &e.PerImage[i]
		if scatter := 1 / math.Sqrt(score.ESS); x.Missed(score.IW, scatter, len(exact)) {
			missed++
			score.Missed = true
			x.LogP, x.Error = score.IW, scatter
		}
		score.LogP, score.Error = x.LogP, x.Error
		logP.Add(x.LogP)
		stated.Add(x.Error)
		gap.Add(x.LogP - score.ELBO)
	}
	e.LogP = &LogP{Value: logP.Mean, SE: logP.StandardError(), Error: stated.Mean, Method: method, Missed: missed}
	e.Gap = &PosteriorGap{Value: gap.Mean, SE: gap.StandardError()}
}

// AddAIS gives the evaluation the log p(x) of its images by annealed importance sampling.
func (e *Evaluation) AddAIS(a *AIS) {
	e.AIS = a
	for i, logP := range a.PerImage {
		e.PerImage[i].AIS = logP
	}
}
