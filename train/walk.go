package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/graph/elementary"
	"elbo/model"
	"elbo/model/infer"
)

// Path is a way from one code to another, by its name in flags.
type Path string

// The ways from a to b, at t from 0 to 1.
const (
	// Linear is (1 - t) a + t b. Halfway it is nearer to 0 than codes of many dimensions are
	// under N(0, I).
	Linear Path = "linear"
	// Spherical keeps to the norms of the two: with Ω the angle between them,
	//
	//	|z| = (1 - t) |a| + t |b|,  z/|z| = (sin((1 - t) Ω) a/|a| + sin(t Ω) b/|b|) / sin Ω
	//
	// Sources: Shoemake 1985; of codes White 2016, "Sampling generative networks".
	Spherical Path = "spherical"
)

// Paths lists them all.
var Paths = []Path{Linear, Spherical}

// leastAngle is the angle in radians, to 0 and to π, below which two codes have one great
// circle through them no longer: float32 has lost it.
const leastAngle = 1e-4

// Between returns steps codes, [steps, Z], evenly spaced on the way from a to b, [Z], with
// both. Codes that point in opposite directions, or that are 0, have no spherical way.
func Between(a, b []float32, steps int, path Path) ([]float32, error) {
	if steps < 2 {
		return nil, &ConfigError{fmt.Errorf("steps is %d, want at least 2: both ends", steps)}
	}
	if slices.Equal(a, b) {
		return nil, &ConfigError{errors.New("both codes are the same, so that there is no way between them: choose two different images")}
	}
	z := make([]float32, 0, steps*len(a))
	switch path {
	case Linear:
		for i := range steps {
			t := float64(i) / float64(steps-1)
			z = appendSum(z, 1-t, a, t, b)
		}
		return z, nil
	case Spherical:
		return between(z, a, b, steps)
	}
	return nil, &ConfigError{fmt.Errorf("path is %q, want linear or spherical", path)}
}

// between appends the codes of the spherical way.
func between(z, a, b []float32, steps int) ([]float32, error) {
	normA, normB := norm(a), norm(b)
	if normA == 0 || normB == 0 {
		return nil, &ConfigError{errors.New("a code is 0 and has no direction, so that there is no spherical way: choose another image, or the linear path")}
	}
	cosine := 0.0
	for j := range a {
		cosine += float64(a[j]) / normA * float64(b[j]) / normB
	}
	omega := math.Acos(min(max(cosine, -1), 1))
	if omega > math.Pi-leastAngle {
		return nil, &ConfigError{errors.New("the codes point in opposite directions, and no spherical way is the shortest: choose another image, or the linear path")}
	}
	for i := range steps {
		t := float64(i) / float64(steps-1)
		length := float64((1-t)*normA) + float64(t*normB)
		wa, wb := 1-t, t
		if omega > leastAngle {
			wa, wb = math.Sin((1-t)*omega)/math.Sin(omega), math.Sin(t*omega)/math.Sin(omega)
		}
		z = appendSum(z, wa*length/normA, a, wb*length/normB, b)
	}
	return z, nil
}

// appendSum appends s a + t b.
func appendSum(to []float32, s float64, a []float32, t float64, b []float32) []float32 {
	for j := range a {
		to = append(to, float32(float64(s*float64(a[j]))+float64(t*float64(b[j]))))
	}
	return to
}

func norm(a []float32) float64 {
	sum := 0.0
	for _, v := range a {
		sum += float64(float64(v) * float64(v))
	}
	return math.Sqrt(sum)
}

// Traversal is what the decoder makes of codes that differ in one dimension alone.
type Traversal struct {
	Dimension int       // from 0
	KL        float64   // KL(q(z_j|x) ‖ p(z_j)), mean over images, nats; NaN where it is not known
	At        []float64 // z_j, [steps]
	Images    []float32 // E[x|z], [steps, D]
}

// Traverse returns what the decoder makes of the code from, [Z], with one dimension after
// the other taken from -reach to reach standard deviations of the prior about its mean, in so
// many steps; of a grid no further than its outermost points. The dimensions are those of the largest KL over the images of v, which
// is what a dimension tells of an image, and in that order. ErrNoCodes, as a *ConfigError,
// for a model without a latent space. Of several stochastic layers they are those of the
// lowest, which the decoder reads.
func (s *Setup) Traverse(ctx context.Context, v data.View, from []float32, dimensions, steps int, reach float64) ([]Traversal, error) {
	joint, err := s.Joint()
	if err != nil {
		return nil, err
	}
	kl, err := s.KLPerDimension(ctx, v)
	if err != nil {
		return nil, err
	}
	all := make([]Traversal, joint.Latent)
	for j := range all {
		all[j] = Traversal{Dimension: j, KL: kl[j]}
	}
	if lowest, ok := joint.Decoder.(model.LowestLayer); ok { // the others change no image
		all = all[:lowest.Latent]
	}
	slices.SortStableFunc(all, func(a, b Traversal) int { return cmp.Compare(b.KL, a.KL) })
	all = all[:min(dimensions, len(all))]
	mean, sd, err := PriorScale(joint)
	if err != nil {
		return nil, err
	}
	codes := make([]float32, 0, len(all)*steps*joint.Latent)
	for i := range all {
		j := all[i].Dimension
		span := float64(reach * sd[j])
		lo, hi := s.within(j, mean[j]-span, mean[j]+span)
		for k := range steps {
			at := lo + (hi-lo)*float64(k)/float64(max(1, steps-1))
			all[i].At = append(all[i].At, at)
			codes = append(codes, from...)
			codes[len(codes)-joint.Latent+j] = float32(at)
		}
	}
	images, err := s.Decode(codes)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Images = images[i*steps*joint.Pixels:][:steps*joint.Pixels]
	}
	return all, nil
}

// PriorScale returns the mean and the standard deviation of each dimension under the prior,
// [Z]: 0 and 1 of N(0, I), of others those of a few thousand draws.
func PriorScale(joint *model.Joint) (mean, sd []float64, err error) {
	mean, sd = make([]float64, joint.Latent), make([]float64, joint.Latent)
	if _, ok := joint.Prior.(model.StandardNormal); ok {
		for j := range sd {
			sd[j] = 1
		}
		return mean, sd, nil
	}
	if joint, _, err = joint.Fixed(); err != nil {
		return nil, nil, err
	}
	const draws = 4000
	sums, z, noise := make([]infer.Running, joint.Latent), make([]float64, joint.Latent), data.NewStream(1, "prior/scale")
	for range draws {
		joint.Prior.Draw(z, noise)
		for j, v := range z {
			sums[j].Add(v)
		}
	}
	for j := range sums {
		mean[j], sd[j] = sums[j].Mean, math.Sqrt(sums[j].Variance())
	}
	return mean, sd, nil
}

// within narrows an interval of dimension j to where the decoder was fitted: of a grid from
// its first to its last point.
func (s *Setup) within(j int, lo, hi float64) (float64, float64) {
	m, ok := s.Model.(Tabular)
	if !ok || m.Table().Config.Grid == nil {
		return lo, hi
	}
	g := m.Table().Config.Grid
	first, last := math.Inf(1), math.Inf(-1)
	for k := range m.Table().Config.States {
		at := float64(g.Points[k*len(g.Extent)+j])
		first, last = min(first, at), max(last, at)
	}
	return max(lo, first), min(hi, last)
}

// KLPerDimension returns KL(q(z_j|x) ‖ p(z_j)) of each latent dimension j, the mean over the
// images of v in nats: of a VAE in closed form, NaN where its families have none; of a grid
// that of the marginals of its table, exactly. The sum over dimensions is KL(q(z|x) ‖ p(z))
// where both are independent over them, and no more than that of a grid.
func (s *Setup) KLPerDimension(ctx context.Context, v data.View) ([]float64, error) {
	switch m := s.Model.(type) {
	case Amortised:
		return klOfEncoder(ctx, m.VAE(), v)
	case Tabular:
		if m.Table().Config.Grid != nil {
			return klOfGrid(ctx, m, v)
		}
	}
	return nil, &ConfigError{ErrNoCodes}
}

func klOfEncoder(ctx context.Context, m *model.VAE, v data.View) ([]float64, error) {
	h, err := infer.Encode(ctx, m, v)
	if err != nil {
		return nil, err
	}
	width, _ := m.Q.Posterior.Sizes()
	mean := make([]float64, m.Latent)
	closed, ok := m.Q.Posterior.(model.ClosedKL)
	for i := range v.N() {
		var kl []float64
		if ok {
			kl, ok = closed.KLPerDimension(h[i*width:][:width], m.Prior)
		}
		for j := range mean {
			if !ok {
				mean[j] = math.NaN()
				continue
			}
			mean[j] += kl[j] / float64(v.N())
		}
	}
	return mean, nil
}

// klOfGrid sums a table's rows, and p(z), over all dimensions but one.
func klOfGrid(ctx context.Context, m Tabular, v data.View) ([]float64, error) {
	table := m.Table()
	extent := table.Config.Grid.Extent
	mean := make([]float64, len(extent))
	prior := make([]float32, table.Config.States)
	for k, logP := range table.LogPrior() {
		prior[k] = float32(elementary.Exp(float64(logP)))
	}
	err := infer.Posteriors(ctx, table, v, func(rows []float32) bool {
		for q := range slices.Chunk(rows, table.Config.States) {
			for j := range extent {
				p := marginal(prior, extent, j)
				for i, q := range marginal(q, extent, j) {
					if q > 0 {
						mean[j] += q * elementary.Log(q/p[i]) / float64(v.N())
					}
				}
			}
		}
		return true
	})
	return mean, err
}

// marginal sums a table over the points of a grid, the first dimension slowest, over all
// dimensions but j.
func marginal(table []float32, extent []int, j int) []float64 {
	stride := 1
	for _, n := range extent[j+1:] {
		stride *= n
	}
	sums := make([]float64, extent[j])
	for k, p := range table {
		sums[k/stride%extent[j]] += float64(p)
	}
	return sums
}
