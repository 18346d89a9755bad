package train_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/train"
)

// pairs is a kind of model of another package: a Bernoulli mixture of two components, with
// nothing to choose.
func pairs() train.Kind {
	return train.Kind{
		Name: "pairs", Usage: "two components, by EM", Epochs: 5, Binarise: data.Threshold,
		Defaults: func() train.Settings {
			return &pairSettings{train.TableSettings{Prior: model.Shared}}
		},
		New: func(s *train.Setup) (train.Model, error) {
			m, err := model.NewMixture(model.EMConfig{Pixels: s.Dataset.D(), States: 2, Likelihood: model.BernoulliName, Prior: model.Shared, Smoothing: 0.1}, s.Engine)
			if err != nil {
				return nil, err
			}
			return pair{train.NewTable(s, m.EM), m}, nil
		},
		Method: func(f *train.Fitting) train.Method {
			m := f.Model.(pair).mixture
			return train.NewEM(f, m.EM, train.NewClosedStep(f.Setup, m))
		},
	}
}

type pair struct {
	train.Tabular
	mixture *model.Mixture
}

type pairSettings struct{ train.TableSettings }

func (s *pairSettings) Kind() train.Kind                                { return pairs() }
func (s *pairSettings) Clone() train.Settings                           { return &pairSettings{s.TableSettings} }
func (s *pairSettings) Options() []train.Option                         { return nil }
func (s *pairSettings) Validate(train.Config) error                     { return nil }
func (s *pairSettings) Fit(int)                                         {}
func (s *pairSettings) Bytes(train.Config, model.MapShape, int) float64 { return 1 }
func (s *pairSettings) Describe(train.Config, int) string               { return "a pair" }

// TestAKindOfAnotherPackageIsFitted: a kind made of what train exports alone is configured,
// fitted and evaluated.
func TestAKindOfAnotherPackageIsFitted(t *testing.T) {
	c, err := train.ReadConfig([]byte(`{"model": "pairs", "split": [40, 10]}`), pairs())
	if err != nil {
		t.Fatal(err)
	}
	s, err := train.NewSetup(c, 2, graphtest.Engine)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := train.CreateRun(filepath.Join(t.TempDir(), "run"), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	result, err := train.Run(context.Background(), s, dir, nil, nil, time.Now)
	if err != nil || result.Status != train.Finished || result.Step != 5 {
		t.Fatalf("%+v, error %v", result, err)
	}
	e, err := s.Score(context.Background(), s.Validation, train.ScoreOptions{})
	// The best state is kept by this very bound; the last may be below it.
	if err != nil || !(e.LogP.Value <= result.Best.Bound+1e-4) || e.Images != 10 {
		t.Errorf("scored %+v, error %v; the best bound was %g", e, err, result.Best.Bound)
	}
	codes, err := s.Encode(context.Background(), s.Validation)
	if err != nil || codes.States != 2 || len(codes.Table) != 20 {
		t.Errorf("codes %+v, error %v", codes, err)
	}
}
