package model

import "math"

// Terms are the parts of a bound on log p(x): means over images, each image of
// equal weight, in nats per image.
type Terms struct {
	Recon float64 // E_q[log p(x|z)], summed over pixels
	KL    float64 // KL(q(z|x) ‖ p(z)), summed over latent dimensions
	Bound float64 // Recon - KL whatever the weight of KL in the objective; L_k for iwae
}

// Totals are sums of terms over images, so that a short batch weighs by its size.
type Totals struct {
	Images float64
	Recon  float64
	KL     float64
	Bound  float64
}

// Add adds the images of u.
func (t *Totals) Add(u Totals) {
	t.Images += u.Images
	t.Recon += u.Recon
	t.KL += u.KL
	t.Bound += u.Bound
}

// Mean returns the terms per image.
func (t Totals) Mean() Terms {
	return Terms{Recon: t.Recon / t.Images, KL: t.KL / t.Images, Bound: t.Bound / t.Images}
}

// BitsPerDim converts nats per image of d pixels to bits per pixel, as a cost:
// -nats / (d ln 2).
func BitsPerDim(nats float64, d int) float64 { return -nats / (float64(d) * math.Ln2) }
