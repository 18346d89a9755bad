package infer

import (
	"context"
	"errors"
	"fmt"
	"math"

	"elbo/data"
	"elbo/graph/elementary"
	"elbo/model"
)

// ImputeOptions are those of filling in missing pixels.
type ImputeOptions struct {
	Steps int    // of the chain of an image
	Seed  uint64 // of its random numbers

	// Progress, if not nil, hears how many steps of all images are done.
	Progress func(done, total int)
}

// warmUp is how many of the first steps accept every proposal: a tenth, and no more than it
// takes to come from a draw of the prior to where the observed pixels want z.
func (o ImputeOptions) warmUp() int { return min(20, o.Steps/10) }

// Imputed are images with missing pixels filled in. Observed pixels are as they were.
type Imputed struct {
	Mean []float32 // E[x_mis|x_obs], [N, D]
	Draw []float32 // a draw from p(x_mis|x_obs), [N, D]

	// Exact: both are from p(z|x_obs) itself, a sum over states; else from a chain.
	Exact      bool
	Acceptance float64 // of the proposals after the warm-up, mean over images and steps
}

// Impute fills in the missing pixels of the images of v under a VAE by Metropolis within
// Gibbs, whose stationary distribution is p(x_mis, z|x_obs), the model's own:
//
//	z* ~ q(z|x),  accepted with probability min(1, w(z*)/w(z)),  w(z) = p(x|z) p(z)/q(z|x)
//	x_mis ~ p(x_mis|z)
//
// where x has the observed pixels and the last x_mis. q is the encoder's, and need not be
// right: what it lacks costs acceptance. The chain begins with a draw from the model that
// knows nothing of x, and its first tenth, up to 20 steps, accepts every z*. Mean is that of
// E[x|z] over the second half of the steps, Draw the last x.
//
// missing is [D], the same for all images, or [N, D]. Random numbers are a pure function of
// the seed and the image.
//
// Source: Mattei and Frellsen 2018, "Leveraging the exact likelihood of deep latent variable
// models", algorithm 1; without the correction it is Rezende, Mohamed, Wierstra 2014,
// appendix F.
func Impute(ctx context.Context, m *model.VAE, v data.View, missing []bool, o ImputeOptions) (*Imputed, error) {
	ratio, ok := m.Q.Posterior.(model.MemberRatio)
	var f faults
	f.add(o.Steps < 1, "steps is %d, want at least 1", o.Steps)
	f.add(!ok, "filling in pixels needs the density of one posterior at the draws of another, and that of a %v is not known", m.Q.Posterior)
	f.add(m.Likelihood.Measure() == model.NoLikelihood, "with %s there is no p(x|z) to draw pixels from: it is no likelihood", m.Likelihood.Name())
	f.add(len(missing) != v.D() && len(missing) != v.N()*v.D(), "missing has %d pixels, want those of one image, %d, or of all", len(missing), v.D())
	if err := errors.Join(f...); err != nil {
		return nil, &OptionError{err}
	}
	block := min(v.N(), ScoredRows(m.Width()))
	g, err := newGibbs(m, ratio, block, o)
	if err != nil {
		return nil, err
	}
	result := &Imputed{Mean: v.AllEvaluated(), Draw: v.AllEvaluated()}
	for first := 0; first < v.N(); first += block {
		n, d := min(block, v.N()-first), v.D()
		rows := missing
		if len(missing) > d {
			rows = missing[first*d:][:n*d]
		}
		g.progress = func(step int) {
			if o.Progress != nil {
				o.Progress(first*o.Steps+n*step, v.N()*o.Steps)
			}
		}
		noise := make([]model.Noise, n)
		for i := range noise {
			noise[i] = data.NewStream(o.Seed, "impute/"+v.Part(), uint64(v.Index(first+i)))
		}
		if err := g.fill(ctx, result.Mean[first*d:][:n*d], result.Draw[first*d:][:n*d], rows, noise); err != nil {
			return nil, err
		}
	}
	result.Acceptance = g.accepted.Mean
	return result, nil
}

// gibbs moves the chains of a block of images.
type gibbs struct {
	o        ImputeOptions
	joint    *model.Joint
	ratio    model.MemberRatio
	family   model.Posterior
	encoder  *model.Encoder
	decoder  *model.Decoder
	at       *model.Completion
	progress func(step int)
	accepted Running
}

func newGibbs(m *model.VAE, ratio model.MemberRatio, block int, o ImputeOptions) (*gibbs, error) {
	g := &gibbs{o: o, joint: m.Joint, ratio: ratio, family: m.Q.Posterior}
	var errs [3]error
	g.encoder, errs[0] = m.NewEncoder(block)
	g.decoder, errs[1] = m.NewDecoder(block)
	g.at, errs[2] = m.NewCompletion(m.Q.Posterior, block)
	return g, errors.Join(errs[:]...)
}

// fill fills in the missing pixels of mean and draw, both [n, D] with the observed ones in
// place.
func (g *gibbs) fill(ctx context.Context, mean, draw []float32, missing []bool, noise []model.Noise) error {
	d, outputs := g.joint.Pixels, g.joint.Outputs()
	width, dims := g.family.Sizes()
	n := len(noise)
	if err := g.begin(draw, missing, noise); err != nil {
		return err
	}
	// The state of each chain is z(h, ε), and out what the decoder makes of it.
	h, eps, out := make([]float32, n*width), make([]float32, n*dims), make([]float32, n*outputs)
	proposed := make([]float32, n*dims)
	logW := make([]float64, n) // of the state
	pixels, sum := make([]float32, d), make([]float64, n*d)
	averaged := 0
	for step := range g.o.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		encoded, err := g.encoder.Encode(draw)
		if err != nil {
			return err
		}
		moved := step >= g.o.warmUp() && step > 0 // the proposal must be accepted
		if moved {
			_, logLik, logRatio, err := g.at.At(draw, h, eps)
			if err != nil {
				return err
			}
			for i := range n {
				logW[i] = float64(logLik[i]) + float64(logRatio[i]) -
					g.ratio.LogProbRatio(encoded[i*width:][:width], h[i*width:][:width], eps[i*dims:][:dims])
			}
		}
		for i, noise := range noise {
			for j := range dims {
				proposed[i*dims+j] = float32(noise.NormFloat64())
			}
		}
		outs, logLik, logRatio, err := g.at.At(draw, encoded, proposed)
		if err != nil {
			return err
		}
		for i, noise := range noise {
			if moved {
				rate := elementary.Exp(min(0, float64(logLik[i])+float64(logRatio[i])-logW[i]))
				if math.IsNaN(rate) {
					return fmt.Errorf("filling in pixels: log p(x, z) of an image is no number: its decoder overflows float32; look at `elbo inspect`, or at a checkpoint of an earlier epoch")
				}
				g.accepted.Add(rate)
				if noise.Float64() >= rate {
					continue
				}
			}
			copy(h[i*width:][:width], encoded[i*width:])
			copy(eps[i*dims:][:dims], proposed[i*dims:])
			copy(out[i*outputs:][:outputs], outs[i*outputs:])
		}
		average := step >= g.o.Steps/2
		if average {
			averaged++
		}
		for i, noise := range noise {
			row := out[i*outputs:][:outputs]
			g.joint.Likelihood.Draw(pixels, row, noise)
			replace(draw[i*d:][:d], pixels, maskOf(missing, i, d))
			if average {
				g.joint.Likelihood.Mean(pixels, row)
				for j, v := range pixels {
					sum[i*d+j] += float64(v)
				}
			}
		}
		g.progress(step + 1)
	}
	for i := range sum {
		pixel := float32(sum[i] / float64(averaged))
		if maskOf(missing, i/d, d)[i%d] {
			mean[i] = pixel
		}
	}
	return nil
}

// begin fills in the missing pixels of x, [n, D], from draws of the model.
func (g *gibbs) begin(x []float32, missing []bool, noise []model.Noise) error {
	d := g.joint.Pixels
	z, codes := make([]float64, g.joint.Latent), make([]float32, 0, len(noise)*g.joint.Latent)
	for _, noise := range noise {
		g.joint.Prior.Draw(z, noise)
		for _, v := range z {
			codes = append(codes, float32(v))
		}
	}
	out, err := g.decoder.Outputs(codes)
	if err != nil {
		return err
	}
	pixels := make([]float32, d)
	for i, noise := range noise {
		g.joint.Likelihood.Draw(pixels, out[i*g.joint.Outputs():][:g.joint.Outputs()], noise)
		replace(x[i*d:][:d], pixels, maskOf(missing, i, d))
	}
	return nil
}

// maskOf are the missing pixels of image i.
func maskOf(missing []bool, i, d int) []bool {
	if len(missing) == d {
		return missing
	}
	return missing[i*d:][:d]
}

// replace sets the missing pixels of x.
func replace(x, by []float32, missing []bool) {
	for j, m := range missing {
		if m {
			x[j] = by[j]
		}
	}
}

// ImputeTable fills in the missing pixels of the images of v under a model with a table,
// exactly: p(z|x_obs) is a sum over the states,
//
//	p(z|x_obs) ∝ p(z) p(x_obs|z),  E[x_mis|x_obs] = Σ_z p(z|x_obs) E[x_mis|z]
//
// missing and seed are those of Impute.
func ImputeTable(ctx context.Context, m *model.EM, v data.View, missing []bool, seed uint64) (*Imputed, error) {
	d, states := v.D(), m.Config.States
	if len(missing) != d && len(missing) != v.N()*d {
		return nil, &OptionError{fmt.Errorf("missing has %d pixels, want those of one image, %d, or of all", len(missing), d)}
	}
	result := &Imputed{Mean: v.AllEvaluated(), Draw: v.AllEvaluated(), Exact: true, Acceptance: 1}
	means := m.Means()
	m.Engine().Split(v.N(), 1, func(lo, hi int) {
		logs, pixels, average := make([]float64, states), make([]float32, d), make([]float64, d)
		for i := lo; i < hi && ctx.Err() == nil; i++ {
			mean, draw, mask := result.Mean[i*d:][:d], result.Draw[i*d:][:d], maskOf(missing, i, d)
			m.LogLikObserved(logs, mean, mask)
			for k, logP := range m.LogPrior() {
				logs[k] += float64(logP)
			}
			var w Weights
			for _, l := range logs {
				w.Add(l)
			}
			logSum := w.Bound() + elementary.Log(float64(states))
			noise := data.NewStream(seed, "impute/"+v.Part(), uint64(v.Index(i)))
			u, state := noise.Float64(), -1
			clear(average)
			for k, l := range logs {
				p := elementary.Exp(l - logSum)
				if p == 0 {
					continue
				}
				if u >= 0 {
					state = k // and the last that is possible, where rounding leaves a rest
				}
				u -= p
				for j, v := range means[k*d:][:d] {
					average[j] += float64(p * float64(v))
				}
			}
			m.DrawState(pixels, state, noise)
			replace(draw, pixels, mask)
			for j, v := range average {
				pixels[j] = float32(v)
			}
			replace(mean, pixels, mask)
		}
	})
	return result, ctx.Err()
}
