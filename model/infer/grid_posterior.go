package infer

import (
	"context"
	"errors"
	"math"

	"elbo/data"
	"elbo/graph/elementary"
	"elbo/model"
)

// Window is a box of the latent space and how many nodes stand in it along each
// dimension.
type Window struct {
	Lo, Hi []float64 // [Z]: the outermost nodes; nil: five standard deviations around each posterior's mean
	Nodes  int       // along each dimension
}

// GridPosterior is p(z|x) of one image as a table over nodes, without an encoder: for
// drawing, and to hold approximations against.
type GridPosterior struct {
	Image int // its number in the part of the data set that it is from
	Exact     // log p(x), and the mean and covariance of p(z|x), from the whole latent space

	Window  Window
	Points  []float32 // [K, Z], the first dimension slowest
	Density []float64 // p(z|x) at each node, [K]: a density over z, relative to the whole space
}

// GridPosteriors returns the posteriors of single images of v, by their numbers in v.
func GridPosteriors(ctx context.Context, j *model.Joint, v data.View, images []int, w Window) ([]GridPosterior, error) {
	j, _, err := j.Fixed()
	if err != nil {
		return nil, err
	}
	q, err := NewQuadrature(j, DefaultQuadrature(j.Latent).over(j), len(images))
	if err != nil {
		return nil, err
	}
	x := make([]float32, len(images)*j.Pixels)
	for i, image := range images {
		v.Pixels(x[i*j.Pixels:][:j.Pixels], image, 0)
	}
	result := make([]GridPosterior, len(images))
	exact, err := q.Pixels(ctx, x, nil)
	for i := 0; i < len(exact) && err == nil; i++ {
		result[i], err = q.window(exact[i], x[i*j.Pixels:][:j.Pixels], w)
		result[i].Image = v.Index(images[i])
	}
	return result, err
}

// window tabulates the posterior of one image.
func (q *Quadrature) window(e Exact, x []float32, w Window) (GridPosterior, error) {
	z, k := q.joint.Latent, 1
	if w.Lo == nil && w.Hi == nil {
		for j, mean := range e.Mean {
			reach := float64(5 * math.Sqrt(e.Covariance[j*z+j]))
			w.Lo, w.Hi = append(w.Lo, mean-reach), append(w.Hi, mean+reach)
		}
	}
	var f faults
	f.add(len(w.Lo) != z || len(w.Hi) != z, "window has %d and %d bounds, want %d", len(w.Lo), len(w.Hi), z)
	f.add(w.Nodes < 2 || elementary.Power(float64(w.Nodes), int64(z)) > 1<<22, "window of %d nodes along each of %d dimensions, want 2 or more, and no more than %d in all", w.Nodes, z, 1<<22)
	for j := range min(len(w.Lo), len(w.Hi)) {
		f.add(!(w.Lo[j] < w.Hi[j]), "window from %g to %g, want an interval", w.Lo[j], w.Hi[j])
	}
	if err := errors.Join(f...); err != nil {
		return GridPosterior{}, &OptionError{err}
	}
	for range z {
		k *= w.Nodes
	}
	p := GridPosterior{Exact: e, Window: w, Points: make([]float32, k*z), Density: make([]float64, k)}
	for i := range k {
		for j, rest := z-1, i; j >= 0; j, rest = j-1, rest/w.Nodes {
			p.Points[i*z+j] = float32(w.Lo[j] + (w.Hi[j]-w.Lo[j])*float64(rest%w.Nodes)/float64(w.Nodes-1))
		}
	}
	t, err := NewNodeTable(q.given, 1, k)
	if err != nil {
		return p, err
	}
	if err := t.SetNodes(p.Points); err != nil {
		return p, err
	}
	joint, offset, err := t.LogJoint(x)
	if err != nil {
		return p, err
	}
	for i, j := range joint {
		p.Density[i] = elementary.Exp(float64(j) + offset[0] - e.LogP)
	}
	return p, nil
}
