package main

import (
	"cmp"
	"context"
	"math"
	"slices"

	"elbo/cmd/elbo/internal/picture"
	"elbo/cmd/elbo/internal/report"
	"elbo/model"
	"elbo/model/infer"
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
		samples, err := s.Sample(comparedSamples, x.report.Seed)
		if err != nil {
			return err
		}
		are := "draws of z from the prior"
		if s.Config.HasTable() {
			are = "draws of a state from p(z)"
		}
		page.Pictures = append(page.Pictures, report.Pictures{
			Samples: picture.Grid(samples, rows, cols, s.Dataset.Channels(), gridColumns), SamplesAre: are,
			Reconstructions: picture.Pairs(originals, reconstructions, rows, cols, s.Dataset.Channels(), gridColumns),
		})
	}
	return x.posteriors(ctx, page)
}

// posteriors adds the posteriors of a few images under the models of two latent
// dimensions.
func (x *comparison) posteriors(ctx context.Context, page *report.Page) error {
	var planar []int
	for i, c := range x.runs {
		if s := c.setup; s.Config.Network().Latent == 2 && !s.Config.Network().Stochastic.Several() && s.Config.Likelihood.IsLikelihood() {
			planar = append(planar, i)
		}
	}
	if len(planar) == 0 {
		return nil
	}
	images := x.telling(planar)
	of := make([][]report.Posterior, len(planar))
	for k, i := range planar {
		var err error
		if of[k], err = x.posteriorsOf(ctx, i, images); err != nil {
			return err
		}
	}
	for n := range images {
		for k := range planar {
			page.Posteriors = append(page.Posteriors, of[k][n])
		}
	}
	return nil
}

// telling picks images by the gap of the first planar model that has one: a small, a
// middling, a large one and the largest.
func (x *comparison) telling(planar []int) []int {
	of := planar[0]
	for _, i := range planar {
		if x.report.Models[i].LogP.How != infer.ExactSum {
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

// posteriorsOf returns p(z|x) of images under one model, ready to be drawn.
func (x *comparison) posteriorsOf(ctx context.Context, of int, images []int) ([]report.Posterior, error) {
	c := x.runs[of]
	all := make([]report.Posterior, len(images))
	for n, image := range images {
		all[n] = report.Posterior{Model: of, Image: image, Pixel: make([]float32, c.view.D())}
		c.view.Pixels(all[n].Pixel, image, 0)
	}
	if m, ok := c.setup.Model.(train.Tabular); ok {
		return all, tablePosteriors(m.Table(), all)
	}
	vae := c.setup.Model.(train.Amortised).VAE()
	exact, err := infer.GridPosteriors(ctx, vae.Joint, c.view, images, infer.Window{Nodes: 2})
	if err != nil {
		return nil, err
	}
	encoder, err := vae.NewEncoder(1)
	if err != nil {
		return nil, err
	}
	draws, err := vae.NewPosteriorDraws(vae.Q.Posterior, 1, report.OutlineCorners)
	if err != nil {
		return nil, err
	}
	table, err := infer.NewNodeTable(vae.Joint, 1, posteriorNodes*posteriorNodes)
	if err != nil {
		return nil, err
	}
	for n := range all {
		if err := planePosterior(encoder, draws, table, exact[n].Exact, &all[n]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// tablePosteriors sets what is drawn of a grid: its points, and rows of the table.
func tablePosteriors(m *model.EM, all []report.Posterior) error {
	e, err := m.NewEStep(1, false, false)
	if err != nil {
		return err
	}
	reach := 0.0
	for _, z := range m.Config.Grid.Points {
		reach = max(reach, 1.3*math.Abs(float64(z)))
	}
	for n := range all {
		o := &all[n]
		copy(e.X(), o.Pixel)
		if err := e.Run(1); err != nil {
			return err
		}
		o.Points, o.Table = m.Config.Grid.Points, slices.Clone(e.Table())
		o.Lo, o.Hi = [2]float64{-reach, -reach}, [2]float64{reach, reach}
	}
	return nil
}

// planePosterior sets what is drawn of a VAE: the density of p(z|x), in a square that
// holds it and the encoder's q.
func planePosterior(encoder *model.Encoder, draws *model.PosteriorDraws, table *infer.NodeTable, exact infer.Exact, o *report.Posterior) error {
	h, err := encoder.Encode(o.Pixel)
	if err != nil {
		return err
	}
	if o.Outlines, err = report.Outlines(draws, h); err != nil {
		return err
	}
	const reach, margin = 4, 0.3 // standard deviations; of the outlines' width
	side, outer := 0.0, o.Outlines[len(o.Outlines)-1]
	for j, at := range [][]float64{outer.X, outer.Y} {
		mean, sd, room := exact.Mean[j], math.Sqrt(exact.Covariance[j*2+j]), margin*(slices.Max(at)-slices.Min(at))
		o.Lo[j] = min(mean-reach*sd, slices.Min(at)-room)
		o.Hi[j] = max(mean+reach*sd, slices.Max(at)+room)
		side = max(side, o.Hi[j]-o.Lo[j])
	}
	for j := range 2 { // the same scale along both axes
		middle := (o.Lo[j] + o.Hi[j]) / 2
		o.Lo[j], o.Hi[j] = middle-side/2, middle+side/2
	}
	o.W, o.H = posteriorNodes, posteriorNodes
	z := make([]float32, 0, 2*o.W*o.H)
	for y := range o.H {
		for x := range o.W {
			z = append(z, float32(o.Lo[0]+side*float64(x)/float64(o.W-1)), float32(o.Lo[1]+side*float64(y)/float64(o.H-1)))
		}
	}
	if err := table.SetNodes(z); err != nil {
		return err
	}
	joint, offset, err := table.LogJoint(o.Pixel)
	if err != nil {
		return err
	}
	for _, j := range joint {
		o.Density = append(o.Density, math.Exp(float64(j)+offset[0]-exact.LogP))
	}
	return nil
}
