package train

import (
	"context"
	"errors"
	"slices"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/elementary"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// table is a model whose posterior is a table over its states, as a [Model].
type table struct {
	m    *model.EM
	kept float64
}

// NewTable makes a [Model] for a setup of one with a table, such as a mixture.
func NewTable(s *Setup, m *model.EM) Tabular { return newTable(s, m) }

func newTable(s *Setup, m *model.EM) *table {
	return &table{m: m, kept: s.Config.Table().bytes(float64(m.Config.States), s.Train.N())}
}

func (t *table) Table() *model.EM         { return t.m }
func (t *table) Params() []*graph.Param   { return t.m.Params() }
func (t *table) Free() (all, encoder int) { return t.m.FreeParameters(), 0 }

// Kept counts the tables of a prior per image.
func (t *table) Kept() float64 { return t.kept }

func (t *table) Terms(ctx context.Context, v data.View) (*run.EpochTerms, error) {
	e, err := t.m.NewEStep(min(emChunk, v.N()), false, false)
	if err != nil {
		return nil, err
	}
	return evidence(ctx, e, v, nil)
}

// Score is exact: log p(x) is a sum over the states.
func (t *table) Score(ctx context.Context, v data.View, o ScoreOptions) (infer.Evaluation, error) {
	if o.AIS != nil {
		return infer.Evaluation{}, &ConfigError{errors.New("annealed importance sampling is for a VAE: log p(x) of a model with a table is a sum over its states, and exact without")}
	}
	return infer.EvaluateTable(ctx, t.m, v, o.Peers)
}

func (t *table) Sample(n int, seed uint64) ([]float32, error) {
	stream := data.NewStream(seed, "sample")
	means, d := t.m.Means(), t.m.Config.Pixels
	var images []float32
	for range n {
		u, state := stream.Float64(), 0
		for k, logP := range t.m.LogPrior() {
			state = k
			if u -= elementary.Exp(float64(logP)); u < 0 {
				break
			}
		}
		images = append(images, means[state*d:][:d]...)
	}
	return images, nil
}

func (t *table) Encode(ctx context.Context, v data.View) (*Codes, error) {
	codes := &Codes{N: v.N(), States: t.m.Config.States}
	err := infer.Posteriors(ctx, t.m, v, func(rows []float32) bool {
		codes.Table = append(codes.Table, rows...)
		return true
	})
	return codes, err
}

// Reconstruct returns Σ_z p(z|x) E[x|z].
func (t *table) Reconstruct(ctx context.Context, v data.View) ([]float32, error) {
	means, d := t.m.Means(), v.D()
	images := make([]float32, 0, v.N()*d)
	err := infer.Posteriors(ctx, t.m, v, func(rows []float32) bool {
		images = append(images, expected(rows, means, d)...)
		return true
	})
	return images, err
}

// expected returns Σ_z p(z|x) f(z), [N, width], of the rows of a table, [N, K], where f is
// [K, width].
func expected(rows, f []float32, width int) []float32 {
	states := len(f) / width
	out := make([]float32, 0, len(rows)/states*width)
	for q := range slices.Chunk(rows, states) {
		row := make([]float32, width)
		for state, q := range q {
			if q == 0 {
				continue
			}
			for j, value := range f[state*width:][:width] {
				row[j] += float32(q * value)
			}
		}
		out = append(out, row...)
	}
	return out
}

// mixture is a mixture as a [Model]: a table whose M-step has a closed form.
type mixture struct {
	*table
	mixture *model.Mixture
}

func (m *mixture) Refresh() error { return m.mixture.Refresh() }

// grid is a grid as a [Model]: a table whose states are points of a latent space.
type grid struct {
	*table
	grid *model.GridModel
}

func (g *grid) Joint() *model.Joint { return g.grid.Joint() }
func (g *grid) Refresh() error      { return g.grid.Refresh() }

// Encode adds to the table the mean and the variances of its points.
func (g *grid) Encode(ctx context.Context, v data.View) (*Codes, error) {
	codes, err := g.table.Encode(ctx, v)
	if err != nil {
		return nil, err
	}
	at := g.m.Config.Grid
	codes.Latent = len(at.Extent)
	codes.Mean = expected(codes.Table, at.Points, codes.Latent)
	codes.Variance = make([]float32, len(codes.Mean))
	for i := range codes.N {
		mean, variance := codes.Mean[i*codes.Latent:][:codes.Latent], codes.Variance[i*codes.Latent:][:codes.Latent]
		for k, q := range codes.Table[i*codes.States:][:codes.States] {
			for j := range variance {
				from := at.Points[k*codes.Latent+j] - mean[j]
				variance[j] += float32(q * from * from)
			}
		}
	}
	return codes, nil
}
