package main

import (
	"math"
	"slices"

	"elbo/data"
	"elbo/model"
)

// region is where a prior of two dimensions has its mass, by draws.
type region struct {
	lo, hi float64 // an interval that holds all but some 2 % of either coordinate
	logP   float64 // the density that 99 % of the draws exceed; -∞ of N(0, I)

	density *model.PriorDensity
}

// regionDraws is how many draws tell where a prior is.
const regionDraws = 2000

// regionOf is that of p(z); of N(0, I) three standard deviations in each direction.
func regionOf(j *model.Joint) (region, error) {
	if _, ok := j.Prior.(model.StandardNormal); ok {
		return region{lo: -manifoldReach, hi: manifoldReach, logP: math.Inf(-1)}, nil
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
	slices.Sort(z)
	slices.Sort(logP)
	return region{lo: z[len(z)/100], hi: z[len(z)-1-len(z)/100], logP: logP[len(logP)/100], density: density}, nil
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
