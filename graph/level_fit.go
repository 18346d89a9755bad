package graph

import "math"

// LevelFit fits the distribution of one value of 256 levels to how often it has each of them.
type LevelFit struct {
	family  LevelFamily
	weights [Levels]float64
	logP    [Levels]float32
	slopes  [][Levels]float32
	next    []float32
	g, step []float64
	f       []float64 // [numbers, numbers]
}

// NewLevelFit returns a fit of a family.
func NewLevelFit(f LevelFamily) *LevelFit {
	n := f.Numbers()
	return &LevelFit{family: f, slopes: make([][Levels]float32, n), next: make([]float32, n), g: make([]float64, n), step: make([]float64, n), f: make([]float64, n*n)}
}

// Weights are how often the value has each level, to be filled in.
func (l *LevelFit) Weights() *[Levels]float64 { return &l.weights }

const (
	levelSteps   = 4    // of scoring, at most
	levelHalves  = 6    // times that a step which lowers the sum is halved
	levelLongest = 2    // largest change of a number in a step
	levelRidge   = 1e-3 // of an image, added to the diagonal of the scoring matrix
	levelGain    = 1e-6 // of an image, nats: what is less is no step any more
)

// Raise moves numbers to where Σ_v w_v log P(v|numbers) is larger, or leaves them: by steps of
// scoring, F⁻¹ g with
//
//	g = Σ_v w_v s_v,    F = Σ_v w_v s_v s_vᵀ,    s_v = ∇ log P(v|numbers)
//
// where each is halved until it does not lower the sum, from the numbers as they are or from
// those of the mean and the variance of the levels, whichever is better.
//
// Source: Berndt, Hall, Hall and Hausman 1974, for F.
func (l *LevelFit) Raise(numbers []float32) {
	total, mean, square := 0.0, 0.0, 0.0
	for v, w := range l.weights {
		x := float64(v) / (Levels - 1)
		total += w
		mean += float64(w * x)
		square += float64(w * x * x)
	}
	if !(total > 0) {
		return
	}
	mean /= total
	l.family.Begin(l.next, mean, max(square/total-float64(mean*mean), 0))
	moments := l.sum(l.next, false)
	best := l.sum(numbers, true)
	if moments > best {
		copy(numbers, l.next)
		best = l.sum(numbers, true)
	}
	for range levelSteps {
		if !l.score(total) { // of the last sum, which is that of the numbers
			return
		}
		longest := 0.0
		for _, s := range l.step {
			longest = max(longest, math.Abs(s))
		}
		scale, raised := min(1, levelLongest/longest), false
		for range levelHalves {
			for i, s := range l.step {
				l.next[i] = numbers[i] + float32(scale*s)
			}
			l.family.Bound(l.next)
			if sum := l.sum(l.next, true); sum > best {
				raised = sum > best+float64(levelGain*total)
				best = sum
				copy(numbers, l.next)
				break
			}
			scale /= 2
		}
		if !raised {
			return
		}
	}
}

// sum is Σ_v w log P(v), and leaves the derivatives where they are asked for.
func (l *LevelFit) sum(numbers []float32, slopes bool) float64 {
	var into [][Levels]float32
	if slopes {
		into = l.slopes
	}
	l.family.LogMasses(numbers, &l.logP, into)
	sum := 0.0
	for v, w := range l.weights {
		if w != 0 {
			sum += float64(w * float64(l.logP[v]))
		}
	}
	return sum
}

// score leaves F⁻¹ g in step, by a Cholesky factor of F; false where there is none.
func (l *LevelFit) score(total float64) bool {
	n := len(l.g)
	clear(l.g)
	clear(l.f)
	for v, w := range l.weights {
		if w == 0 {
			continue
		}
		for i := range n {
			s := float64(w * float64(l.slopes[i][v]))
			l.g[i] += s
			for j := range i + 1 {
				l.f[i*n+j] += float64(s * float64(l.slopes[j][v]))
			}
		}
	}
	for i := range n {
		l.f[i*n+i] += float64(levelRidge * total)
	}
	if !Cholesky(l.f, l.f, n, 1, 0) {
		return false
	}
	for i := range n {
		sum := l.g[i]
		for k := range i {
			sum -= float64(l.f[i*n+k] * l.step[k])
		}
		l.step[i] = sum / l.f[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		sum := l.step[i]
		for k := i + 1; k < n; k++ {
			sum -= float64(l.f[k*n+i] * l.step[k])
		}
		l.step[i] = sum / l.f[i*n+i]
	}
	for _, s := range l.step {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return false
		}
	}
	return true
}
