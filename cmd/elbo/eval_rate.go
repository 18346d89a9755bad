package main

import (
	"fmt"
	"io"
)

// writeRate prints KL in two parts: what z tells of the image, and how far the mean posterior
// is from the prior.
func (e *evalReport) writeRate(w io.Writer) {
	r := e.Rate
	if r == nil {
		return
	}
	draws := "a draw of z each"
	if r.Drawn < e.Images {
		draws = fmt.Sprintf("a draw of z for %d of them", r.Drawn)
	}
	fmt.Fprintf(w, "KL = I_q(x; z) + KL(q(z) ‖ p(z)) = %.2f ± %.2f + %.2f ± %.2f; q(z) is the mean posterior of %s, %s\n",
		r.MutualInformation.Value, r.MutualInformation.SE, r.Marginal.Value, r.Marginal.SE, count(e.Images, "image"), draws)
	if r.Saturated() {
		fmt.Fprintf(w, "I_q is at most log %d = %.2f, and near it: of more images it would be larger, and KL(q(z) ‖ p(z)) smaller\n", e.Images, r.Ceiling)
	} else {
		fmt.Fprintf(w, "I_q is at most log %d = %.2f\n", e.Images, r.Ceiling)
	}
}
