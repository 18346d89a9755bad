package main

import (
	"cmp"
	"context"
	"io"
	"slices"

	"elbo/data"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// exportPosterior writes the posterior table of a view as .npy, float32: images x
// states, or, of the likeliest states only, images x 2·top, with the states' numbers
// before their probabilities. Rows are written as they are computed.
func exportPosterior(ctx context.Context, s *train.Setup, v data.View, path string, top int) error {
	m, ok := s.Model.(train.Tabular)
	if !ok {
		return usagef("--export-posterior: a VAE has no table: its posteriors are Gaussians; want a mixture or a grid")
	}
	states := m.Table().Config.States
	if top > states {
		return usagef("top is %d, but the model has %d states", top, states)
	}
	width := states
	if top > 0 {
		width = 2 * top
	}
	var failed error
	rows := func(yield func([]float32) bool) {
		failed = infer.Posteriors(ctx, m.Table(), v, func(table []float32) bool {
			if top > 0 {
				table = likeliest(table, states, top)
			}
			return yield(table)
		})
	}
	err := run.WriteAtomic(path, func(w io.Writer) error {
		err := data.WriteFloatsNPY(w, v.N(), width, rows)
		return cmp.Or(failed, err)
	})
	return err
}

// likeliest keeps of each row its top largest entries: their places, then their values.
func likeliest(table []float32, states, top int) []float32 {
	order := make([]int, states)
	var out []float32
	for row := range slices.Chunk(table, states) {
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		for _, k := range order[:top] {
			out = append(out, float32(k))
		}
		for _, k := range order[:top] {
			out = append(out, row[k])
		}
	}
	return out
}
