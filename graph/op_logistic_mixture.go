package graph

import (
	"elbo/graph/elementary"
	"elbo/graph/simd"
)

// LogisticMixtureOutputs is how many numbers describe the distribution of a pixel of so many
// channels, 1 or 3, under a mixture of discretised logistic distributions, see
// [Builder.LogisticMixtureLogLik].
func LogisticMixtureOutputs(components, channels int) int {
	return components * (1 + 2*channels + coefficients(channels))
}

// MostLogisticComponents is the largest number of components of such a mixture.
const MostLogisticComponents = 64

// coefficients is how many of a component's numbers say how a channel's mean depends on
// those before it: one for green and two for blue.
func coefficients(channels int) int {
	if channels == 3 {
		return 3
	}
	return 0
}

// LogisticMixtureLogLik returns the log-probability of grey levels or colours, pixels being
// independent of each other given out, one value a draw: for a pixel x of C channels
//
//	log p(x) = log Σ_M π_m Π_C P(x_c | μ_mc, s_mc)
//
// where P is the mass of a level under a discretised logistic distribution, see
// [Builder.DiscretizedLogisticLogLik], and for three channels the means depend on the
// values of the channels before,
//
//	μ_m2 = m_m2 + a_m (x_1 - ½)    μ_m3 = m_m3 + b_m (x_1 - ½) + c_m (x_2 - ½)
//
// with a, b, c in (-1, 1). It is a probability: the sum over all colours is 1.
//
// x is [B, D], of levels v/255, D = C times the pixels. out is [B·S, O]; for each pixel it
// has the M logits of π, and then for each component its C means m, its C log scales, and
// for three channels the arctanh of a, b, c. The result is [B·S], summed over pixels, in
// nats. x has no gradient.
//
// Source: Salimans, Karpathy, Chen, Kingma 2017 (PixelCNN++), section 2.
func (b *Builder) LogisticMixtureLogLik(x, out Node, components, channels int) Node {
	pixels := x.Cols() / max(1, channels)
	b.want((channels == 1 || channels == 3) && components > 0 && components <= MostLogisticComponents && x.Cols() == pixels*channels && out.Cols() == pixels*LogisticMixtureOutputs(components, channels),
		"logistic mixture: values %v of %d channels and decoder output %v of %d components: want [B D] and [B·S O]", x.Shape(), channels, out.Shape(), components)
	return b.pixelLogLik("logistic-mixture", x, out, func(x, out, slope []float32) float64 {
		return logisticMixture(x, out, slope, components, channels)
	})
}

// logisticMixture is the log-probability of one image, and leaves its derivative with
// respect to out in slope, unless that is nil.
func logisticMixture(x, out, slope []float32, components, channels int) float64 {
	each := components * channels // masses a pixel
	width := LogisticMixtureOutputs(components, channels)
	step := logisticBlock / each // pixels of a block
	group := 2*channels + coefficients(channels)
	var level, mu, logS, logP, dMu, dLogS [logisticBlock]float32
	var prior, joint [logisticBlock]float32 // log π, and log π P, of each pixel's components
	sum := 0.0
	for from := 0; from < len(x)/channels; from += step {
		pixels := min(step, len(x)/channels-from)
		for i := range pixels {
			of := x[(from+i)*channels:][:channels]
			for m := range components {
				o := out[(from+i)*width+components+m*group:][:group]
				j := i*each + m*channels
				copy(level[j:], of)
				copy(mu[j:], o[:channels])
				copy(logS[j:], o[channels:2*channels])
				if channels == 3 {
					a, b, c := dependence(o)
					mu[j+1] += float32(a * (of[0] - 0.5))
					mu[j+2] += float32(b*(of[0]-0.5)) + float32(c*(of[1]-0.5))
				}
			}
		}
		n := pixels * each
		if slope == nil {
			logisticMasses(level[:n], mu[:n], logS[:n], logP[:n], nil, nil)
		} else {
			logisticMasses(level[:n], mu[:n], logS[:n], logP[:n], dMu[:n], dLogS[:n])
		}
		for i := range pixels {
			logits := out[(from+i)*width:][:components]
			p, q := prior[i*components:][:components], joint[i*components:][:components]
			copy(p, logits)
			for m, l := range logits {
				for _, mass := range logP[i*each+m*channels:][:channels] {
					l += mass
				}
				q[m] = l
			}
			sum += normalise(q) - normalise(p) // both are shares now
			if slope == nil {
				continue
			}
			s := slope[(from+i)*width:][:width]
			for m := range components {
				s[m] = q[m] - p[m]
				j, o := i*each+m*channels, s[components+m*group:][:group]
				for c := range channels {
					o[c], o[channels+c] = q[m]*dMu[j+c], q[m]*dLogS[j+c]
				}
				if channels == 3 {
					of := x[(from+i)*channels:][:channels]
					a, b, c := dependence(out[(from+i)*width+components+m*group:][:group])
					o[6] = o[1] * (of[0] - 0.5) * (1 - float32(a*a))
					o[7] = o[2] * (of[0] - 0.5) * (1 - float32(b*b))
					o[8] = o[2] * (of[1] - 0.5) * (1 - float32(c*c))
				}
			}
		}
	}
	return sum
}

// dependence are a, b and c of a component of three channels.
func dependence(o []float32) (a, b, c float32) {
	t := [3]float32{o[6], o[7], o[8]}
	simd.Tanh(t[:])
	return t[0], t[1], t[2]
}

// normalise replaces logarithms l by exp l / Σ exp l, and returns log Σ exp l.
func normalise(l []float32) float64 {
	top := l[0]
	for _, v := range l {
		top = max(top, v)
	}
	for i := range l {
		l[i] -= top
	}
	simd.Exp(l)
	sum := float32(0)
	for _, v := range l {
		sum += v
	}
	for i := range l {
		l[i] /= sum
	}
	return float64(top) + elementary.Log(float64(sum))
}
