package main

import (
	"fmt"
	"math"

	"elbo/model/infer"
)

// seedSpread is a mean over runs that differ in their seed, nats per image.
type seedSpread struct {
	Mean float64  `json:"mean"`
	SD   *float64 `json:"sd,omitempty"` // standard deviation over seeds; nil of one run
}

func spreadOf(r infer.Running) seedSpread {
	s := seedSpread{Mean: r.Mean}
	if r.N > 1 {
		sd := math.Sqrt(r.Variance())
		s.SD = &sd
	}
	return s
}

func (s seedSpread) String() string {
	if s.SD == nil {
		return fmt.Sprintf("%.2f (sd -)", s.Mean)
	}
	return fmt.Sprintf("%.2f (sd %.2f)", s.Mean, *s.SD)
}
