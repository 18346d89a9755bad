// Package report holds what a comparison of models came to, and makes one
// self-contained HTML page of it: tables, charts as inline SVG, pictures as data URIs,
// styles in the head; no script, and nothing to fetch.
//
// A Comparison is what report.json holds, and the page shows figures of it alone: what
// is read in the browser stands in the file.
package report

import (
	"math"

	"elbo/model"
	"elbo/model/infer"
)

// Comparison is what models make of the same images: means over images, nats per image
// where nothing else is said.
type Comparison struct {
	Data      Data     `json:"data"`
	Samples   int      `json:"samples"`   // draws of z for each image, of models without a table
	Seed      uint64   `json:"seed"`      // of the draws
	Reference string   `json:"reference"` // the model that differences are to: of the highest log p(x), or bound on it
	Findings  []string `json:"findings"`
	Models    []Model  `json:"models"`
}

// Data are the pixels that were scored.
type Data struct {
	Name         string `json:"name"`
	SHA256       string `json:"sha256"`
	Split        string `json:"split"`
	Images       int    `json:"images"`
	Pixels       int    `json:"pixels"` // of an image
	Binarise     string `json:"binarise"`
	BinariseSeed uint64 `json:"binarise_seed"`
	PixelsSHA256 string `json:"pixels_sha256"` // of the very pixels
	Measure      string `json:"measure"`       // what log p(x) is the logarithm of, see the constants
}

// What log p(x) is the logarithm of. Nats of one do not compare with nats of another.
const (
	Mass         = string(model.ProbabilityMass)
	Density      = string(model.ProbabilityDensity)
	NoLikelihood = string(model.NoLikelihood)
)

// Figure is a mean over images and its standard error.
type Figure struct {
	Value float64 `json:"value"`
	SE    float64 `json:"se"`
}

// Model is one of those compared.
type Model struct {
	Name        string `json:"name"`
	Run         string `json:"run"`
	Checkpoint  string `json:"checkpoint"`
	Kind        string `json:"kind"` // vae, mixture or grid
	Description string `json:"description"`
	Likelihood  string `json:"likelihood"`
	Binarise    string `json:"binarise"` // of its training

	Parameters int `json:"parameters"` // that the data choose
	Encoder    int `json:"encoder"`    // of these, those of an encoder: p(x) does not depend on them

	Recon  Figure         `json:"recon"` // E_q[log p(x|z)]
	KL     Figure         `json:"kl"`    // KL(q(z|x) ‖ p(z))
	ELBO   Figure         `json:"elbo"`  // Recon - KL
	IW     *IW            `json:"iw"`    // null for a model with a table
	LogP   infer.Evidence `json:"log_p"`
	Gap    Figure         `json:"gap"`          // LogP - ELBO: KL(q ‖ p(z|x)), or a lower bound on it where LogP is one
	BitsPD Figure         `json:"bits_per_dim"` // -LogP / (D log 2)

	// Differences to the reference, image by image: both models score the same images,
	// so their errors are smaller than those of the means. Null for the reference.
	DiffELBO *Figure `json:"elbo_difference"`
	DiffLogP *Figure `json:"log_p_difference"`

	Seconds float64 `json:"train_seconds"` // sum over the epochs
	Passes  string  `json:"passes"`        // what a line of History is: epoch or iteration
	History []Pass  `json:"history"`

	Images []Image `json:"-"` // in per-image.csv
}

// IW is the importance-weighted bound L_k.
type IW struct {
	K int `json:"k"`
	Figure
	ESS float64 `json:"ess"` // effective number of draws, mean over images
}

// Pass is a line of a training run.
type Pass struct {
	Pass       int     `json:"pass"`
	Seconds    float64 `json:"seconds"` // since the beginning of training
	Train      float64 `json:"train"`
	Validation *Figure `json:"validation,omitempty"`
	// AfterMStep is, for EM, the bound of the table of the iteration before at the parameters
	// of this one: where the M-step took the bound, before the E-step made it the evidence.
	AfterMStep *float64 `json:"bound_after_m_step,omitempty"`
}

// Image is what a model makes of one image, in nats.
type Image struct {
	Number int     `json:"number"` // in its part of the data set
	Label  int     `json:"label"`  // -1 for none
	Recon  float64 `json:"recon"`
	KL     float64 `json:"kl"`
	ELBO   float64 `json:"elbo"`
	IW     float64 `json:"iw"`
	ESS    float64 `json:"ess"`
	LogP   float64 `json:"log_p"`
	Error  float64 `json:"error"` // of LogP
}

// NewFigure returns the mean of values and its standard error.
func NewFigure(values []float64) Figure {
	n := float64(len(values))
	mean := 0.0
	for _, v := range values {
		mean += v / n
	}
	ss := 0.0
	for _, v := range values {
		ss += (v - mean) * (v - mean)
	}
	if n < 2 {
		return Figure{Value: mean}
	}
	return Figure{mean, math.Sqrt(ss / (n - 1) / n)}
}

// Paired returns the mean over images of f(a) - f(b) with the standard error of the
// differences. a and b are scores of the same images, in the same order.
func Paired(a, b []Image, f func(Image) float64) Figure {
	differences := make([]float64, len(a))
	for i := range a {
		differences[i] = f(a[i]) - f(b[i])
	}
	return NewFigure(differences)
}

// Refer names the reference, the model of the highest LogP, and sets the others'
// differences to it.
func (c *Comparison) Refer() {
	best := 0
	for i, m := range c.Models {
		if m.LogP.Value > c.Models[best].LogP.Value {
			best = i
		}
	}
	reference := &c.Models[best]
	c.Reference = reference.Name
	for i := range c.Models {
		m := &c.Models[i]
		if i == best {
			continue
		}
		elbo := Paired(m.Images, reference.Images, func(i Image) float64 { return i.ELBO })
		logP := Paired(m.Images, reference.Images, func(i Image) float64 { return i.LogP })
		m.DiffELBO, m.DiffLogP = &elbo, &logP
	}
}
