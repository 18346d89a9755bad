package train

import (
	"context"
	"strings"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// vae is a VAE as a [Model].
type vae struct {
	own  VAESettings
	seed uint64 // of the draws by which validation images are scored
	m    *model.VAE
}

// NewVAE makes a [Model] of a VAE whose validation images are scored as own has it, with
// draws from the seed.
func NewVAE(own VAESettings, seed uint64, m *model.VAE) Amortised {
	return &vae{own: own, seed: seed, m: m}
}

func (a *vae) VAE() *model.VAE        { return a.m }
func (a *vae) Joint() *model.Joint    { return a.m.Joint }
func (a *vae) Params() []*graph.Param { return a.m.Params() }

func (a *vae) Free() (all, encoder int) {
	for _, p := range a.Params() {
		if _, ok := a.m.Prior.(model.LeavesOut); ok && strings.HasPrefix(p.Name, string(priorPart)+".") {
			continue // training images
		}
		all += len(p.Value)
		if strings.HasPrefix(p.Name, string(model.EncoderPart)+".") {
			encoder += len(p.Value)
		}
	}
	return all, encoder
}

// Kept counts Adam's moments.
func (a *vae) Kept() float64 {
	bytes := 0.0
	for _, p := range a.m.Trained() {
		bytes += float64(2 * 4 * len(p.Value))
	}
	return bytes
}

func (a *vae) Terms(ctx context.Context, v data.View) (*run.EpochTerms, error) {
	e, err := infer.NewEvaluator(a.m, a.own.K)
	if err != nil {
		return nil, err
	}
	terms, _, err := objectiveTerms(ctx, e, a.own.Objective, v, a.seed)
	return terms, err
}

// objectiveTerms scores images by the bound of an objective, at weight 1 of the divergence,
// with draws from the seed. It returns that of each image as well.
func objectiveTerms(ctx context.Context, e *infer.Evaluator, objective model.Objective, v data.View, seed uint64) (*run.EpochTerms, []float64, error) {
	scored, err := e.Evaluate(ctx, v, seed)
	if err != nil {
		return nil, nil, err
	}
	iwae := objective == model.IWAE
	bounds := make([]float64, len(scored.PerImage))
	for i, score := range scored.PerImage {
		if bounds[i] = score.ELBO; iwae {
			bounds[i] = score.IW
		}
	}
	terms := &run.EpochTerms{Recon: scored.Recon, KL: scored.KL, Bound: scored.ELBO, BoundSE: scored.ELBOSE}
	if iwae {
		terms.Bound, terms.BoundSE = scored.IW.Bound, scored.IW.SE
	}
	return terms, bounds, nil
}

// Score scores the images with draws from the encoder's posterior and, where asked for, by
// quadrature and annealed importance sampling.
func (a *vae) Score(ctx context.Context, v data.View, o ScoreOptions) (infer.Evaluation, error) {
	evaluator, err := infer.NewEvaluator(a.m, o.Samples)
	if err != nil {
		return infer.Evaluation{}, err
	}
	evaluator.Scored, evaluator.Peers = o.Scored, o.Peers
	e, err := evaluator.Evaluate(ctx, v, o.Seed)
	if err == nil && o.Rate {
		e.Rate, err = evaluator.SplitRate(ctx, e, o.Seed)
	}
	if err == nil && o.Exact {
		var exact []infer.Exact
		var method string
		if exact, method, err = infer.Integrate(ctx, a.m.Joint, v, o.Peers, o.Progress); err == nil {
			e.AddExact(exact, method)
		}
	}
	if err == nil && o.AIS != nil {
		var ais *infer.AIS
		ask := *o.AIS
		ask.Peers = o.Peers
		if ais, err = infer.EstimateAIS(ctx, a.m.Joint, v, o.Seed, ask); err == nil {
			e.AddAIS(ais)
		}
	}
	return e, err
}

func (a *vae) Sample(n int, seed uint64) ([]float32, error) {
	stream := data.NewStream(seed, "sample")
	joint, _, err := a.m.Fixed()
	if err != nil {
		return nil, err
	}
	z, code := make([]float32, 0, n*a.m.Latent), make([]float64, a.m.Latent)
	for range n {
		joint.Prior.Draw(code, stream)
		for _, v := range code {
			z = append(z, float32(v))
		}
	}
	return decode(a.m.Joint, z)
}

func (a *vae) Encode(ctx context.Context, v data.View) (*Codes, error) {
	h, err := infer.Encode(ctx, a.m, v)
	if err != nil {
		return nil, err
	}
	codes := &Codes{N: v.N(), Latent: a.m.Latent}
	if codes.Mean, err = a.m.Codes(h); err != nil {
		return nil, err
	}
	known, ok := a.m.Q.Posterior.(model.Moments)
	if !ok {
		return codes, nil
	}
	width, _ := a.m.Q.Posterior.Sizes()
	for i := range v.N() {
		for _, variance := range known.Variance(h[i*width:][:width]) {
			codes.Variance = append(codes.Variance, float32(variance))
		}
	}
	return codes, nil
}

func (a *vae) Reconstruct(ctx context.Context, v data.View) ([]float32, error) {
	h, err := infer.Encode(ctx, a.m, v)
	if err != nil {
		return nil, err
	}
	means, err := a.m.Codes(h)
	if err != nil {
		return nil, err
	}
	return decode(a.m.Joint, means)
}
