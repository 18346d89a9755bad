package main

import (
	"math"
	"slices"

	"elbo/cmd/elbo/internal/chart"
	"elbo/data"
	"elbo/model"
)

// region is where a prior of two dimensions has its mass, by draws.
type region struct {
	z1, z2 chart.Span // as long as each other: each holds all but some 2 % of a coordinate
	logP   float64    // the density that 99 % of the draws exceed; -∞ of N(0, I)

	density *model.PriorDensity
}

// regionDraws is how many draws tell where a prior is.
const regionDraws = 2000

// regionOf is that of p(z); of N(0, I) three standard deviations in each direction.
func regionOf(j *model.Joint) (region, error) {
	if _, ok := j.Prior.(model.StandardNormal); ok {
		usual := chart.Span{Lo: -manifoldReach, Hi: manifoldReach}
		return region{z1: usual, z2: usual, logP: math.Inf(-1)}, nil
	}
	fixed, _, err := j.Fixed()
	if err != nil {
		return region{}, err
	}
	density, err := fixed.NewPriorDensity(regionDraws)
	if err != nil {
		return region{}, err
	}
	z, logP := make([]float64, 2*regionDraws), make([]float64, regionDraws)
	noise := data.NewStream(1, "manifold")
	for i := range regionDraws {
		fixed.Prior.Draw(z[2*i:][:2], noise)
	}
	if err := density.At(z, logP, nil); err != nil {
		return region{}, err
	}
	slices.Sort(logP)
	r := region{logP: logP[len(logP)/100], density: density}
	middle, half := [2]float64{}, 0.0
	for j := range middle {
		values := make([]float64, regionDraws)
		for i := range values {
			values[i] = z[2*i+j]
		}
		slices.Sort(values)
		lo, hi := values[regionDraws/100], values[regionDraws-1-regionDraws/100]
		middle[j], half = (lo+hi)/2, max(half, (hi-lo)/2)
	}
	r.z1, r.z2 = chart.Span{Lo: middle[0] - half, Hi: middle[0] + half}, chart.Span{Lo: middle[1] - half, Hi: middle[1] + half}
	return r, nil
}

// dim darkens the images, [N, D], of codes, [N, 2], that lie outside the region: a decoder
// was never asked what is there.
func (r region) dim(images, codes []float32) error {
	const left = 0.3 // of a pixel
	n := len(codes) / 2
	d := len(images) / n
	for first := 0; r.density != nil && first < n; first += regionDraws {
		count := min(regionDraws, n-first)
		z, logP := make([]float64, 2*count), make([]float64, count)
		for i, v := range codes[2*first:][:2*count] {
			z[i] = float64(v)
		}
		if err := r.density.At(z, logP, nil); err != nil {
			return err
		}
		for i, l := range logP {
			if l >= r.logP {
				continue
			}
			for j := range d {
				images[(first+i)*d+j] *= left
			}
		}
	}
	return nil
}
