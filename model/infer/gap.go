package infer

import (
	"context"
	"fmt"
	"math"

	"elbo/data"
	"elbo/graph/elementary"
	"elbo/model"
)

// GapOptions say how the gap between a VAE's ELBO and log p(x) is measured.
type GapOptions struct {
	Samples int    // draws of z for each image, from q and from q*
	Seed    uint64 // of the draws
	Exact   bool   // log p(x) by quadrature; else the bound L_k of all draws
	LocalQ  LocalQOptions

	Families []Family // to be held against each other, the first against the others; see GapFamilies. nil: none

	Peers Peers // processes that look at a part of the images each, all by the same call; nil for none
}

// Validate returns every fault.
func (o GapOptions) Validate() error {
	if o.Samples < 1 {
		return fmt.Errorf("samples is %d, want at least 1", o.Samples)
	}
	return o.LocalQ.Validate()
}

// Gap is what a VAE's encoder and its family of posteriors lose, in nats per image:
//
//	log p(x) - L[q]  =  log p(x) - L[q*]  +  L[q*] - L[q]
//	   inference           approximation      amortisation
//
// where q is the encoder's member of its family and q* the best one for that image by
// itself. The whole is KL(q ‖ p(z|x)).
//
// Source: Cremer, Li, Duvenaud 2018.
type Gap struct {
	Images        int      `json:"images"`
	Draws         int      `json:"draws"` // of z for each image, from q and from q*
	LogP          LogP     `json:"log_p"`
	LowerBound    bool     `json:"log_p_is_lower_bound"` // and so the approximation and the inference gap
	ELBOStar      Estimate `json:"elbo_star"`
	ELBO          Estimate `json:"elbo"`
	Approximation Estimate `json:"approximation"`
	Amortisation  Estimate `json:"amortisation"`
	Inference     Estimate `json:"inference"`

	Families []FamilyGap `json:"families,omitempty"` // where asked for

	PerImage []GapScore `json:"-"` // in the order of the view
	H, HStar []float32  `json:"-"` // of q and q*, [N, H]
}

// GapScore is the gap of one image, in nats.
type GapScore struct {
	Image    int     // its number in the part of the data set that it is from
	LogP     float64 // exact, or a bound
	Error    float64 // of LogP: of the quadrature, or the standard error of the bound
	ELBO     float64 // L[q]
	ELBOStar float64 // L[q*]
}

// Approximation is log p(x) - L[q*]: what no member of the family can do.
func (g GapScore) Approximation() float64 { return g.LogP - g.ELBOStar }

// Amortisation is L[q*] - L[q]: what the encoder has not learned.
func (g GapScore) Amortisation() float64 { return g.ELBOStar - g.ELBO }

// Inference is log p(x) - L[q], the sum of both.
func (g GapScore) Inference() float64 { return g.LogP - g.ELBO }

// MeasureGap measures the gap of a VAE on the images of v. q* is searched for from
// the encoder's output (see FitLocalQ), and both bounds are then measured by the same
// draws ε, those of Evaluate, which took no part in the search: the amortisation gap can
// come out negative by noise alone. tell hears what is done and for how many images of this
// process.
//
// With quadrature, which gives the mean and the variances of p(z|x) as well, the search
// begins there where that is better: it does not share the encoder's mistakes, which may
// have a local optimum of their own. A model that has hardly been trained may have
// posteriors outside the box of the quadrature, where nothing says so; but then L_k below
// is above what the quadrature says by more than five of its errors, and stands in its
// place for that image.
//
// Without quadrature, log p(x) is estimated by importance sampling from the mixture of q
// and q*, half of the draws from each:
//
//	L_k = log (1/k) Σ_k p(x, z) / (½ q(z) + ½ q*(z))
//
// a lower bound in expectation, which makes the approximation gap one as well. A weight
// is at most twice that under the better of the two.
//
// Source of the weights: Veach and Guibas 1995, the balance heuristic.
func MeasureGap(ctx context.Context, m *model.VAE, v data.View, o GapOptions, tell func(what string, images int)) (*Gap, error) {
	return measureGap(ctx, m.Joint, m.Q.Posterior, v, func(v data.View) ([]float32, error) { return Encode(ctx, m, v) }, o, tell)
}

// measureGap is MeasureGap for an encoder's output h, [N, H], of a family q. Without one,
// encode is nil and q* stands for the encoder's q; log p(x) is then by quadrature.
func measureGap(ctx context.Context, j *model.Joint, q model.Posterior, v data.View, encode func(v data.View) ([]float32, error), o GapOptions, tell func(what string, images int)) (*Gap, error) {
	if err := o.Validate(); err != nil {
		return nil, &OptionError{err}
	}
	if _, ok := q.(model.MemberRatio); !ok {
		return nil, &OptionError{fmt.Errorf("the gap is measured with the density of q at draws from q*, and the family %s has none at other draws than its own: --samples bounds log p(x)", q)}
	}
	j, _, err := j.Fixed()
	if err != nil {
		return nil, err
	}
	g := &Gap{Images: v.N(), Draws: o.Samples, LowerBound: !o.Exact}
	for _, f := range o.Families {
		g.Families = append(g.Families, FamilyGap{Family: f.Name})
	}
	if err := g.gather(q, v, o, g.search(ctx, j, q, Dealt(o.Peers, v), encode, o, tell)); err != nil {
		return nil, err
	}
	g.LowerBound = g.LowerBound || g.LogP.Missed > 0
	g.summarise()
	g.summariseFamilies(q, o.Families)
	return g, nil
}

// search finds the q* of the images of v, and measures it and the encoder's q: what g holds of
// single images.
func (g *Gap) search(ctx context.Context, j *model.Joint, q model.Posterior, v data.View, encode func(v data.View) ([]float32, error), o GapOptions, tell func(what string, images int)) (err error) {
	g.LogP.Method = fmt.Sprintf("L_%d, a lower bound: half of the draws from q, half from q*", 2*o.Samples)
	var starts [][]float32
	if encode != nil {
		if g.H, err = encode(v); err != nil {
			return err
		}
		starts = append(starts, g.H)
	}
	var exact []Exact
	if o.Exact {
		if exact, g.LogP.Method, err = integrate(ctx, j, v, func(images int) { tell("integrating", images) }); err != nil {
			return err
		}
		if family, ok := q.(model.Moments); ok {
			starts = append(starts, momentsOf(exact, family))
		}
	}
	if g.HStar, err = FitLocalQ(ctx, j, q, v, o.Seed, o.LocalQ, func(images int) { tell("searching q*", images) }, starts...); err != nil {
		return err
	}
	if encode == nil {
		g.H = g.HStar
	}
	if g.PerImage, err = scorePairs(ctx, j, q, v, g.H, g.HStar, o, tell); err != nil {
		return err
	}
	for i, x := range exact {
		score := &g.PerImage[i]
		if x.Missed(score.LogP, score.Error, g.Images) {
			g.LogP.Missed++
			continue
		}
		score.LogP, score.Error = x.LogP, x.Error
	}
	return g.searchFamilies(ctx, j, q, v, exact, o, tell)
}

// gather puts together what each process has found of its part of the images of v. err is its
// own error.
func (g *Gap) gather(q model.Posterior, v data.View, o GapOptions, err error) error {
	if o.Peers == nil || o.Peers.Size() == 1 {
		return err
	}
	const fields = 4
	h, _ := q.Sizes()
	widths, width := make([]int, len(g.Families)), fields+2*h
	for k, f := range o.Families {
		if f.Posterior != q {
			widths[k], _ = f.Posterior.Sizes()
			width += 1 + widths[k]
		}
	}
	var own []float64
	add := func(values []float32) {
		for _, x := range values {
			own = append(own, float64(x))
		}
	}
	for i, s := range g.PerImage {
		if err != nil {
			break
		}
		own = append(own, s.LogP, s.Error, s.ELBO, s.ELBOStar)
		add(g.H[i*h:][:h])
		add(g.HStar[i*h:][:h])
		for k, f := range g.Families {
			if w := widths[k]; w > 0 {
				own = append(own, f.PerImage[i])
				add(f.HStar[i*w:][:w])
			}
		}
	}
	all, err := Together(o.Peers, v.N(), width, own, err)
	if err != nil {
		return err
	}
	missed := []float64{float64(g.LogP.Missed)}
	if err := o.Peers.Sum(missed); err != nil {
		return err
	}
	whole := Gap{Images: g.Images, Draws: g.Draws, LowerBound: g.LowerBound}
	whole.LogP.Method, whole.LogP.Missed = g.LogP.Method, int(missed[0])
	for _, f := range g.Families {
		whole.Families = append(whole.Families, FamilyGap{Family: f.Family})
	}
	next := func(n int) []float64 {
		some := all[:n]
		all = all[n:]
		return some
	}
	take := func(to []float32, n int) []float32 {
		for _, x := range next(n) {
			to = append(to, float32(x))
		}
		return to
	}
	for i := range v.N() {
		s := next(fields)
		whole.PerImage = append(whole.PerImage, GapScore{Image: v.Index(i), LogP: s[0], Error: s[1], ELBO: s[2], ELBOStar: s[3]})
		whole.H, whole.HStar = take(whole.H, h), take(whole.HStar, h)
		for k := range whole.Families {
			if f := &whole.Families[k]; widths[k] > 0 {
				f.PerImage = append(f.PerImage, next(1)...)
				f.HStar = take(f.HStar, widths[k])
			}
		}
	}
	*g = whole
	return nil
}

// momentsOf returns the members of a family with the moments of posteriors, [N, H].
func momentsOf(exact []Exact, family model.Moments) []float32 {
	var h []float32
	for _, x := range exact {
		h = append(h, family.FromMoments(x.Mean, x.Covariance)...)
	}
	return h
}

// summarise computes the means.
func (g *Gap) summarise() {
	var logP, methodError Running
	estimate := func(of func(GapScore) float64) Estimate {
		var m Running
		for _, score := range g.PerImage {
			m.Add(of(score))
		}
		return Estimate{Value: m.Mean, SE: m.StandardError()}
	}
	for _, score := range g.PerImage {
		logP.Add(score.LogP)
		methodError.Add(score.Error)
	}
	g.LogP.Value, g.LogP.SE, g.LogP.Error = logP.Mean, logP.StandardError(), methodError.Mean
	g.ELBO = estimate(func(s GapScore) float64 { return s.ELBO })
	g.ELBOStar = estimate(func(s GapScore) float64 { return s.ELBOStar })
	g.Approximation = estimate(GapScore.Approximation)
	g.Amortisation = estimate(GapScore.Amortisation)
	g.Inference = estimate(GapScore.Inference)
}

// scorePairs measures L[q] and L[q*] with common draws, and L_k under their mixture.
func scorePairs(ctx context.Context, j *model.Joint, q model.Posterior, v data.View, h, star []float32, o GapOptions, tell func(string, int)) ([]GapScore, error) {
	size, block := blocks(o.Samples, j.Width())
	k, err := newScorer(j, q, o.Samples, size, block)
	if err != nil {
		return nil, err
	}
	width, _ := q.Sizes()
	scores, all := make([]GapScore, 0, v.N()), upTo(v.N())
	for first := 0; first < v.N(); first += k.images {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		images := all[first:min(first+k.images, v.N())]
		h, star := h[first*width:][:len(images)*width], star[first*width:][:len(images)*width]
		k.begin(v, images, o.Seed, "eps/evaluate/")
		recons, ratios, logW, err := k.scoreMixture(h, star)
		if err != nil {
			return nil, err
		}
		k.begin(v, images, o.Seed, "eps/evaluate/")
		reconsStar, ratiosStar, logWStar, err := k.scoreMixture(star, h)
		if err != nil {
			return nil, err
		}
		for i, image := range images {
			// Both halves use the same ε: what is independent is a pair of draws.
			var pairs Weights
			for draw, a := range logW[i] {
				pairs.Add(elementary.LogSumExp(a, logWStar[i][draw]) - math.Ln2)
			}
			score := GapScore{
				Image: v.Index(image), LogP: pairs.Bound(),
				Error:    math.Sqrt(max(0, 1/pairs.EffectiveSampleSize()-1/float64(o.Samples))), // of the log of a mean, by the delta method
				ELBO:     recons[i] - k.divergence(h[i*width:][:width], ratios[i]),
				ELBOStar: reconsStar[i] - k.divergence(star[i*width:][:width], ratiosStar[i]),
			}
			for what, value := range map[string]float64{"L[q]": score.ELBO, "L[q*]": score.ELBOStar} {
				if !finite(value) {
					return nil, notFinite(v, image, what, value)
				}
			}
			scores = append(scores, score)
		}
		tell("measuring", len(scores))
	}
	return scores, nil
}

// scoreMixture draws from the posteriors h of the block's images and returns, for each,
// the mean log-likelihood of its draws, the mean of log p(z) - log q(z|h), and the logarithms
// of their importance weights under the even mixture of h and other.
func (k *scorer) scoreMixture(h, other []float32) (recons, ratios []float64, logW [][]float64, err error) {
	family := k.family.(model.MemberRatio) // as measureGap has made sure
	width, z := k.family.Sizes()
	images := len(h) / width
	recons, ratios, logW = make([]float64, images), make([]float64, images), make([][]float64, images)
	block := make([]float32, k.images*width)
	copy(block, h)
	err = k.each(block, images, func(i, row int, logLik, ratio float64) {
		recons[i] += logLik / float64(k.draws)
		ratios[i] += ratio / float64(k.draws)
		against := family.LogProbRatio(other[i*width:][:width], h[i*width:][:width], k.eps[row*z:][:z])
		logW[i] = append(logW[i], logLik+ratio-logHalfOnePlusExp(against))
	})
	return recons, ratios, logW, err
}

// logHalfOnePlusExp is log(½ + ½ eˣ).
func logHalfOnePlusExp(x float64) float64 {
	return max(x, 0) + elementary.Log1p(elementary.Exp(-math.Abs(x))) - math.Ln2
}

// notFinite names the image whose figure is NaN or infinite.
func notFinite(v data.View, i int, what string, value float64) error {
	return fmt.Errorf("image %d (%s): %s is %v nats: the checkpoint's encoder or decoder is out of bounds; try another with --checkpoint", v.Index(i), v.Part(), what, value)
}
