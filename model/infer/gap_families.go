package infer

import (
	"context"
	"fmt"

	"elbo/data"
	"elbo/model"
)

// Family is a family of posteriors in which the best q of each image is searched for.
type Family struct {
	Name      model.PosteriorName
	Posterior model.Posterior
}

// GapFamilies returns the families of the given names for a VAE, the diagonal one before
// all: the others are measured against it. Of flows there is that of the VAE's own
// posterior alone, whose nets are trained: the q* of an image is the best by its base and its
// context. It fails with an *OptionError for another one.
func GapFamilies(m *model.VAE, names []model.PosteriorName) ([]Family, error) {
	families := []Family{{model.DiagonalPosterior, model.DiagonalGaussian{Latent: m.Latent}}}
	for _, name := range names {
		known := false
		for _, f := range families {
			known = known || f.Name == name
		}
		if known {
			continue
		}
		switch own := m.Q.Posterior; name {
		case model.FullPosterior:
			families = append(families, Family{name, model.FullGaussian{Latent: m.Latent}})
		case model.FlowedPosterior:
			if !model.IsFlow(own) {
				return nil, &OptionError{fmt.Errorf("a flow has nets that an encoder is trained with, and the posterior of this model is none (%s): want diagonal or full, or a run with --posterior flow", own)}
			}
			families = append(families, Family{name, own})
		default:
			return nil, &OptionError{fmt.Errorf("unknown family %q, want diagonal, full or flow", name)}
		}
	}
	return families, nil
}

// FamilyGap is how well the best member of a family does for each image, by the same draws
// as all others, in nats per image.
type FamilyGap struct {
	Family        model.PosteriorName `json:"family"`
	ELBOStar      Estimate            `json:"elbo_star"`        // L[q*]
	Approximation Estimate            `json:"approximation"`    // log p(x) - L[q*]
	Gain          Estimate            `json:"gain"`             // L[q*] less that of the best diagonal Gaussian, image by image
	Closed        *float64            `json:"closed,omitempty"` // Gain as a share of the diagonal Gaussians' approximation gap; nil where that is not clear of 0

	PerImage []float64 `json:"-"` // L[q*]
	HStar    []float32 `json:"-"` // of q*, [N, H]
}

// searchFamilies searches q* in each family but q's own, from the moments of the q* that there
// is and of the exact posteriors where they are known, and measures it.
func (g *Gap) searchFamilies(ctx context.Context, j *model.Joint, q model.Posterior, v data.View, exact []Exact, o GapOptions, tell func(string, int)) error {
	for i, f := range o.Families {
		if f.Posterior == q {
			continue
		}
		if err := g.Families[i].fit(ctx, j, f, q, g.HStar, v, exact, o, tell); err != nil {
			return err
		}
	}
	return nil
}

// summariseFamilies computes the means of each family, and holds them against the first's.
func (g *Gap) summariseFamilies(q model.Posterior, families []Family) {
	for k, f := range families {
		r, diagonal := &g.Families[k], &g.Families[0]
		if f.Posterior == q {
			r.HStar = g.HStar
			for _, score := range g.PerImage {
				r.PerImage = append(r.PerImage, score.ELBOStar)
			}
		}
		var star, approximation, gain, whole Running
		for i, l := range r.PerImage {
			star.Add(l)
			approximation.Add(g.PerImage[i].LogP - l)
			gain.Add(l - diagonal.PerImage[i])
			whole.Add(g.PerImage[i].LogP - diagonal.PerImage[i])
		}
		r.ELBOStar = Estimate{Value: star.Mean, SE: star.StandardError()}
		r.Approximation = Estimate{Value: approximation.Mean, SE: approximation.StandardError()}
		r.Gain = Estimate{Value: gain.Mean, SE: gain.StandardError()}
		const clear = 3 // standard errors
		if whole.Mean > clear*whole.StandardError() && whole.Mean > g.LogP.Error {
			share := gain.Mean / whole.Mean
			r.Closed = &share
		}
	}
}

// fit searches q* of another family than q.
func (r *FamilyGap) fit(ctx context.Context, j *model.Joint, f Family, q model.Posterior, star []float32, v data.View, exact []Exact, o GapOptions, tell func(string, int)) error {
	family, ok := f.Posterior.(model.Moments)
	if !ok {
		return &OptionError{fmt.Errorf("the search for the best %s of each image has nowhere to begin", f.Posterior)}
	}
	means, variances, err := moments(j, q, star, v.N(), o.Seed)
	if err != nil {
		return err
	}
	var near []float32
	z := j.Latent
	for i := range v.N() {
		covariance := make([]float64, z*z)
		for a, s := range variances[i*z:][:z] {
			covariance[a*z+a] = s
		}
		near = append(near, family.FromMoments(means[i*z:][:z], covariance)...)
	}
	starts := [][]float32{near}
	if exact != nil {
		starts = append(starts, momentsOf(exact, family))
	}
	what := fmt.Sprintf("searching q* (%s)", f.Name)
	if r.HStar, err = FitLocalQ(ctx, j, f.Posterior, v, o.Seed, o.LocalQ, func(images int) { tell(what, images) }, starts...); err != nil {
		return err
	}
	size, block := blocks(o.Samples, j.Width())
	k, err := newScorer(j, f.Posterior, o.Samples, size, block)
	if err != nil {
		return err
	}
	r.PerImage, err = k.bounds(ctx, v, upTo(v.N()), r.HStar, o.Seed, "eps/evaluate/")
	return err
}

// moments returns means and variances of members h of a family, [N, Z] each: its own, or
// those of a few hundred draws where it does not know them.
func moments(j *model.Joint, q model.Posterior, h []float32, n int, seed uint64) (means, variances []float64, err error) {
	width, noise := q.Sizes()
	if known, ok := q.(model.Moments); ok {
		for i := range n {
			means = append(means, known.Mean(h[i*width:][:width])...)
			variances = append(variances, known.Variance(h[i*width:][:width])...)
		}
		return means, variances, nil
	}
	const draws = 300
	compiled, err := j.NewPosteriorDraws(q, 1, draws)
	if err != nil {
		return nil, nil, err
	}
	eps := make([]float32, draws*noise)
	data.NewStream(seed, "eps/gap/moments").Normals(eps)
	for i := range n {
		z, err := compiled.At(h[i*width:][:width], eps)
		if err != nil {
			return nil, nil, err
		}
		of := make([]Running, j.Latent)
		for k, v := range z {
			of[k%j.Latent].Add(float64(v))
		}
		for _, m := range of {
			means, variances = append(means, m.Mean), append(variances, m.Variance())
		}
	}
	return means, variances, nil
}
