package main

import (
	"cmp"
	"context"
	"math"
	"slices"

	"elbo/cmd/elbo/internal/picture"
	"elbo/cmd/elbo/internal/report"
	"elbo/model"
	"elbo/train"
)

// Sizes of the pictures of a comparison.
const (
	comparedSamples = 40
	comparedPairs   = 20
	posteriorNodes  = 64 // along each dimension of a posterior's picture
)

// picture adds the pictures to the page.
func (x *comparison) picture(ctx context.Context, page *report.Page) error {
	for _, c := range x.runs {
		s := c.setup
		rows, cols := s.Dataset.Rows(), s.Dataset.Cols()
		originals, reconstructions, err := reconstruct(s, c.view, comparedPairs)
		if err != nil {
			return err
		}
		samples, err := sample(s, comparedSamples, x.report.Seed)
		if err != nil {
			return err
		}
		are := "draws of z from the prior"
		if s.EM != nil {
			are = "draws of a state from p(z)"
		}
		page.Pictures = append(page.Pictures, report.Pictures{
			Samples: picture.Grid(samples, rows, cols, gridColumns), SamplesAre: are,
			Reconstructions: picture.Pairs(originals, reconstructions, rows, cols, gridColumns),
		})
	}
	return x.posteriors(ctx, page)
}

// posteriors adds the posteriors of a few images under the models of two latent
// dimensions.
func (x *comparison) posteriors(ctx context.Context, page *report.Page) error {
	var planar []int
	for i, c := range x.runs {
		if s := c.setup; s.Config.Model != train.MixtureModel && s.Config.Latent == 2 && s.Config.Likelihood.IsLikelihood() {
			planar = append(planar, i)
		}
	}
	if len(planar) == 0 {
		return nil
	}
	for _, image := range x.telling(planar) {
		for _, i := range planar {
			o, err := x.posterior(ctx, i, image)
			if err != nil {
				return err
			}
			page.Posteriors = append(page.Posteriors, o)
		}
	}
	return nil
}

// telling picks images by the gap of the first planar model that has one: a small, a
// middling, a large one and the largest.
func (x *comparison) telling(planar []int) []int {
	of := planar[0]
	for _, i := range planar {
		if x.report.Models[i].LogP.How != report.ExactSum {
			of = i
			break
		}
	}
	images := x.report.Models[of].Images
	order := make([]int, len(images))
	for i := range order {
		order[i] = i
	}
	gap := func(i int) float64 { return images[i].LogP - images[i].ELBO }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(gap(a), gap(b)) })
	var picked []int
	for _, quantile := range []float64{0.05, 0.5, 0.95, 1} {
		if i := order[int(quantile*float64(len(order)-1))]; !slices.Contains(picked, i) {
			picked = append(picked, i)
		}
	}
	return picked
}

// posterior returns p(z|x) of one image under one model, ready to be drawn.
func (x *comparison) posterior(ctx context.Context, of, image int) (report.Posterior, error) {
	c := x.runs[of]
	o := report.Posterior{Model: of, Image: image, Pixel: make([]float32, c.view.D())}
	c.view.Pixels(o.Pixel, image, 0)
	if c.setup.EM != nil {
		return o, tablePosterior(c.setup.EM, &o)
	}
	return o, x.planePosterior(ctx, c, &o)
}

// tablePosterior sets what is drawn of a grid: its points, and the row of the table.
func tablePosterior(m *model.EM, o *report.Posterior) error {
	e, err := m.NewEStep(1, false, false)
	if err != nil {
		return err
	}
	copy(e.X(), o.Pixel)
	if err := e.Run(1); err != nil {
		return err
	}
	o.Points, o.Table = m.Config.Grid.Points, slices.Clone(e.Table())
	reach := 0.0
	for _, z := range o.Points {
		reach = max(reach, 1.1*math.Abs(float64(z)))
	}
	o.Lo, o.Hi = [2]float64{-reach, -reach}, [2]float64{reach, reach}
	return nil
}

// planePosterior sets what is drawn of a VAE: the posterior by quadrature, in a square
// that holds it and the encoder's Gaussian.
func (x *comparison) planePosterior(ctx context.Context, c *contestant, o *report.Posterior) error {
	encoder, err := c.setup.VAE.NewEncoder(1)
	if err != nil {
		return err
	}
	h, err := encoder.Encode(o.Pixel)
	if err != nil {
		return err
	}
	for j := range 2 {
		o.Mean[j], o.SD[j] = float64(h[j]), math.Exp(float64(h[2+j])/2)
	}
	at := []int{o.Image}
	about, err := train.GridPosteriors(ctx, c.setup, c.view, at, train.Window{Nodes: 2})
	if err != nil {
		return err
	}
	const reach = 4 // standard deviations
	side := 0.0
	for j := range 2 {
		mean, sd := about[0].Mean[j], math.Sqrt(about[0].Covariance[j*2+j])
		o.Lo[j] = min(mean-reach*sd, o.Mean[j]-reach*o.SD[j])
		o.Hi[j] = max(mean+reach*sd, o.Mean[j]+reach*o.SD[j])
		side = max(side, o.Hi[j]-o.Lo[j])
	}
	for j := range 2 { // the same scale along both axes
		middle := (o.Lo[j] + o.Hi[j]) / 2
		o.Lo[j], o.Hi[j] = middle-side/2, middle+side/2
	}
	p, err := train.GridPosteriors(ctx, c.setup, c.view, at, train.Window{Lo: o.Lo[:], Hi: o.Hi[:], Nodes: posteriorNodes})
	if err != nil {
		return err
	}
	o.W, o.H = posteriorNodes, posteriorNodes
	o.Density = make([]float64, o.W*o.H)
	for i, d := range p[0].Density { // there the first dimension is the slowest
		o.Density[i%o.H*o.W+i/o.H] = d
	}
	return nil
}
