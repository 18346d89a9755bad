package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// refusedCombinations are those of a prior, a posterior and an objective that Validate
// refuses, with a part of the reason that it gives.
var refusedCombinations = map[string]string{}

// TestEveryPriorPosteriorAndObjectiveTrainsEvaluatesAndResumesToTheBit, in all combinations
// but those that are refused for a reason.
func TestEveryPriorPosteriorAndObjectiveTrainsEvaluatesAndResumesToTheBit(t *testing.T) {
	for _, prior := range model.Priors {
		for _, posterior := range model.Posteriors {
			for _, objective := range model.Objectives {
				name := fmt.Sprintf("%s %s %s", prior, posterior, objective)
				t.Run(name, func(t *testing.T) {
					c := smallConfig(t)
					own := c.vae()
					own.Prior, own.Posterior, own.Objective = prior, posterior, objective
					if _, key := own.components(); key == "prior-components" {
						own.PriorComponents = 8
					} else if key == "pseudo-inputs" {
						own.PseudoInputs = 8
					}
					if reason, refused := refusedCombinations[name]; refused {
						if err := c.Validate(); err == nil || !strings.Contains(err.Error(), reason) {
							t.Errorf("error %v, want %q", err, reason)
						}
						return
					}
					own.K, own.CheckpointEvery, c.Epochs = 2, 4, 5
					trainsAndResumes(t, c)
				})
			}
		}
	}
}

// TestEveryNetworkAndLikelihoodTrainsEvaluatesAndResumesToTheBit: each network with outcomes,
// and convolutions with every other likelihood as well.
func TestEveryNetworkAndLikelihoodTrainsEvaluatesAndResumesToTheBit(t *testing.T) {
	for _, network := range model.Networks {
		for _, likelihood := range model.Likelihoods() {
			if likelihood != model.BernoulliName && !network.Convolutional() {
				continue
			}
			t.Run(fmt.Sprintf("%s %s", network, likelihood), func(t *testing.T) {
				c := convConfig(t, network)
				if !network.Convolutional() {
					c.network().ConvSettings = defaultConv()
				}
				if c.Likelihood = likelihood; likelihood != model.BernoulliName {
					c.Binarise = data.None
				}
				c.vae().CheckpointEvery, c.Epochs = 4, 5
				trainsAndResumes(t, c)
			})
		}
	}
}

// TestAPriorUpdatedByEMTrainsAndResumesToTheBit.
func TestAPriorUpdatedByEMTrainsAndResumesToTheBit(t *testing.T) {
	c := smallConfig(t)
	own := c.vae()
	own.Prior, own.PriorComponents, own.PriorUpdate = model.GaussianPrior, 8, PriorByEM
	own.CheckpointEvery, c.Epochs = 4, 5
	s := trainsAndResumes(t, c)
	first := newTestSetup(t, c)
	for i, p := range vaeOf(s).Prior.Params() {
		if floatsEqual(p.Value, vaeOf(first).Prior.Params()[i].Value) {
			t.Errorf("%s has not moved", p.Name)
		}
	}
	for _, p := range vaeOf(s).Trained() {
		if strings.HasPrefix(p.Name, "prior.") {
			t.Errorf("%s moves along gradients as well", p.Name)
		}
	}
}

func floatsEqual(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// trainsAndResumes trains a configuration, whole and in two parts, compares their bytes, and
// evaluates and samples what comes out.
func trainsAndResumes(t *testing.T, c Config) *Setup {
	t.Helper()
	ctx := context.Background()
	s, whole, heard := newTestSetup(t, c), newHastyRun(t, c), &listener{}
	if _, err := Run(ctx, s, whole, nil, heard, still); err != nil {
		t.Fatal(err)
	}
	first, last := heard.epochs[0].Validation.Bound, heard.epochs[len(heard.epochs)-1].Validation.Bound
	if !(last > first) {
		t.Errorf("the validation bound went from %.3f to %.3f nats", first, last)
	}

	// Stopped within the third epoch, and at the end of the second.
	for _, at := range []Progress{{Epoch: 3, Position: 32}, {Epoch: 2, Position: 90}} {
		stopped := newHastyRun(t, c)
		cut, cancel := context.WithCancel(ctx)
		cutting := &listener{step: func(p Progress) {
			if p.Epoch == at.Epoch && p.Position == at.Position {
				cancel()
			}
		}}
		if _, err := Run(cut, newTestSetup(t, c), stopped, nil, cutting, still); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("stopping at %+v: %v", at, err)
		}
		state, _, _ := stopped.Latest()
		if _, err := Run(ctx, newTestSetup(t, c), stopped, state, &listener{}, still); err != nil {
			t.Fatal(err)
		}
		name := checkpointOf(int64(6 * c.Epochs))
		for _, file := range []string{name, run.BestFile} {
			if !bytes.Equal(fileBytes(t, stopped.File(file)), fileBytes(t, whole.File(file))) {
				t.Errorf("stopped at %+v and resumed, %s has other bytes", at, file)
			}
		}
	}

	images := data.View{Subset: s.Validation.First(8), Mode: s.Validation.Mode, Seed: s.Validation.Seed}
	e, err := s.Score(ctx, images, ScoreOptions{Samples: 200, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !(e.ELBO < e.IW.Bound) {
		t.Errorf("ELBO %.3f, L_200 %.3f", e.ELBO, e.IW.Bound)
	}
	state, _, err := whole.Best()
	if err != nil {
		t.Fatal(err)
	}
	loaded := newTestSetup(t, c)
	if err := loaded.Load(state); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(state); err != nil {
		t.Fatal(err)
	}
	for _, of := range []*Setup{s, loaded} {
		x, err := of.Sample(5, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range x {
			if math.IsNaN(float64(v)) {
				t.Fatal("a sample is no number")
			}
		}
	}
	a, _ := s.Score(ctx, images, ScoreOptions{Samples: 20, Seed: 1})
	b, _ := loaded.Score(ctx, images, ScoreOptions{Samples: 20, Seed: 1})
	if a.ELBO != b.ELBO || a.IW.Bound != b.IW.Bound {
		t.Errorf("a checkpoint is not whole: ELBO %v as trained, %v as loaded", a.ELBO, b.ELBO)
	}
	return s
}

// TestValidationFollowsAPriorThatFollowsItsEncoder: an evaluator is made before training, and
// its figures after a step are those of one that is made then.
func TestValidationFollowsAPriorThatFollowsItsEncoder(t *testing.T) {
	for _, prior := range []model.PriorName{model.PseudoPrior, model.ExemplarPrior} {
		c := smallConfig(t)
		c.vae().Prior = prior
		c.vae().PriorComponents, c.vae().PseudoInputs = defaultPriorComponents, defaultPseudoInputs
		if prior == model.PseudoPrior {
			c.vae().PseudoInputs = 8
		} else {
			c.vae().PriorComponents = 8
		}
		s := newTestSetup(t, c)
		early, err := infer.NewEvaluator(vaeOf(s), 3)
		if err != nil {
			t.Fatal(err)
		}
		before, err := early.Evaluate(context.Background(), s.Validation, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(context.Background(), s, newHastyRun(t, c), nil, nil, still); err != nil {
			t.Fatal(err)
		}
		late, err := infer.NewEvaluator(vaeOf(s), 3)
		if err != nil {
			t.Fatal(err)
		}
		a, err := early.Evaluate(context.Background(), s.Validation, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := late.Evaluate(context.Background(), s.Validation, 1)
		if err != nil {
			t.Fatal(err)
		}
		if a.ELBO != b.ELBO || a.ELBO == before.ELBO {
			t.Errorf("%s: %v before, %v after by the evaluator of before, %v by one of after", prior, before.ELBO, a.ELBO, b.ELBO)
		}
	}
}
