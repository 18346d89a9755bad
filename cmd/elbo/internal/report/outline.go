package report

import (
	"math"

	"elbo/cmd/elbo/internal/chart"
	"elbo/model"
)

// Outline is a closed curve in the latent plane.
type Outline struct{ X, Y []float64 }

// ContourMass is how much contours enclose, of a posterior and of the encoder's q alike.
var ContourMass = [2]float64{0.5, 0.95}

// OutlineCorners is how many codes make the outline of the encoder's q.
const OutlineCorners = 97

// Outlines are the images under z(h, ε) of the circles that hold so much of ε: of a Gaussian,
// with whatever covariance, ellipses; of a flow what becomes of them.
func Outlines(draws *model.PosteriorDraws, h []float32) ([]Outline, error) {
	var all []Outline
	for _, mass := range ContourMass {
		eps, radius := make([]float32, 0, 2*OutlineCorners), chart.GaussianRadius(mass)
		for i := range OutlineCorners {
			sin, cos := math.Sincos(2 * math.Pi * float64(i) / (OutlineCorners - 1))
			eps = append(eps, float32(radius*cos), float32(radius*sin))
		}
		z, err := draws.At(h, eps)
		if err != nil {
			return nil, err
		}
		var o Outline
		for i := range OutlineCorners {
			o.X, o.Y = append(o.X, float64(z[2*i])), append(o.Y, float64(z[2*i+1]))
		}
		all = append(all, o)
	}
	return all, nil
}
