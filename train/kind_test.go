package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// templates is a kind of model that no table but a test's has: a Bernoulli mixture with
// the number of its components, and nothing else to choose.
func templates() Kind {
	return Kind{
		Name: "templates", Usage: "mixture of a few components", Epochs: 7, Binarise: data.Threshold,
		Defaults: func() Settings {
			return &templateSettings{TableSettings: TableSettings{Prior: model.Shared}, Shapes: []int{2, 3}}
		},
		New: func(s *Setup) (Model, error) {
			own := s.Config.Settings.(*templateSettings)
			m, err := model.NewMixture(model.EMConfig{Pixels: s.Dataset.D(), States: own.states(), Likelihood: s.Config.Likelihood, Prior: own.Prior, Smoothing: 0.1}, s.Engine)
			if err != nil {
				return nil, err
			}
			return templateModel{NewTable(s, m.EM), m}, nil
		},
		Method: func(f *Fitting) Method {
			m := f.Model.(templateModel).mixture
			return NewEM(f, m.EM, NewClosedStep(f.Setup, m))
		},
	}
}

type templateModel struct {
	Tabular
	mixture *model.Mixture
}

type templateSettings struct {
	TableSettings
	Shapes []int // their sum is the number of components
}

func (s *templateSettings) states() int {
	sum := 0
	for _, n := range s.Shapes {
		sum += n
	}
	return sum
}

func (s *templateSettings) Kind() Kind { return templates() }
func (s *templateSettings) Clone() Settings {
	return &templateSettings{s.TableSettings, slices.Clone(s.Shapes)}
}
func (s *templateSettings) Options() []Option {
	return []Option{{Key: "shapes", Usage: "components, by their shape", Value: list(&s.Shapes, "N,...")}, s.tolerance()}
}
func (s *templateSettings) Validate(c Config) error {
	var f faults
	f.add(s.states() < 1, "shapes come to %d components, want at least 1", s.states())
	return errors.Join(f...)
}
func (s *templateSettings) Fit(int)                                   {}
func (s *templateSettings) Bytes(Config, model.MapShape, int) float64 { return 1 }
func (s *templateSettings) Describe(Config, int) string               { return fmt.Sprint(s.states(), " templates") }

// TestAKindOfModelIsOneRow: a kind that is defined here alone is configured by a file,
// trained, interrupted, resumed to the same bytes, and evaluated.
func TestAKindOfModelIsOneRow(t *testing.T) {
	kinds := append(Kinds(), templates())
	text := fmt.Sprintf(`{"model": "templates", "shapes": [1, 3], "data": %q, "split": [90, 30], "binarise": "threshold", "workers": 2}`, writeSynthetic(t))
	c, err := ReadConfig([]byte(text), kinds...)
	if err != nil || c.Settings.(*templateSettings).states() != 4 || c.Epochs != 7 {
		t.Fatalf("read %+v, error %v", c, err)
	}
	train := func(dir *run.Dir, from *run.State, stop int) *Setup {
		t.Helper()
		if from != nil {
			if c, err = Configuration(from, kinds...); err != nil {
				t.Fatal(err)
			}
		}
		s, err := NewSetup(c, 2, graphtest.Engine)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		heard := &emListener{each: func(m run.Metrics) {
			if m.Epoch == stop {
				cancel()
			}
		}}
		if _, err = Run(ctx, s, dir, from, heard, still); err != nil && !(stop > 0 && errors.Is(err, ErrInterrupted)) {
			t.Fatal(err)
		}
		return s
	}
	paths := []string{t.TempDir() + "/whole", t.TempDir() + "/parts"}
	var last [][]byte
	for i, path := range paths {
		resolved := newTestSetup(t, c).Config
		dir, err := CreateRun(path, resolved)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			train(dir, nil, 3)
			if err := dir.Close(); err != nil {
				t.Fatal(err)
			}
			reader, err := ReadRun(path, kinds...)
			if err != nil {
				t.Fatal(err)
			}
			if at, err := Stands(reader, kinds...); err != nil || !strings.HasPrefix(at.String(), "has made 4 of 7 iterations") {
				t.Errorf("an interrupted run %q, error %v", at, err)
			}
			if dir, err = OpenRun(path, kinds...); err != nil {
				t.Fatal(err)
			}
		}
		from, _, faults := dir.Latest()
		if (from != nil) != (i == 1) || len(faults) > 0 {
			t.Fatalf("state %v, faults %v", from, faults)
		}
		s := train(dir, from, -1)
		if state, _, faults := dir.Latest(); state == nil || len(faults) > 0 {
			t.Fatalf("state %v, faults %v", state, faults)
		}
		last = append(last, fileBytes(t, dir.File(checkpointOf(7))))
		if err := dir.Close(); err != nil {
			t.Fatal(err)
		}
		reader, err := ReadRun(path, kinds...)
		if err != nil {
			t.Fatal(err)
		}
		if at, err := Stands(reader, kinds...); err != nil || at.Status != Finished {
			t.Errorf("a finished run %q, error %v", at, err)
		}
		state, _, _ := reader.Latest()
		if span := Behind(state, kinds...); span != (run.Span{Unit: "iteration", End: 7}) {
			t.Errorf("behind it are %+v, want 7 iterations", span)
		}
		if err := s.Load(state); err != nil {
			t.Fatal(err)
		}
		metrics, err := reader.ReadMetrics()
		if err != nil {
			t.Fatal(err)
		}
		e, err := infer.EvaluateTable(context.Background(), tableOf(s), s.Train, nil)
		// Means of the same float32 numbers, summed in another order in float64.
		if want := metrics[7].Train.Bound; err != nil || e.LogP.Value < want-1e-9 || e.LogP.Value > want+1e-9 {
			t.Errorf("evaluated %+v, error %v, want %g", e.LogP, err, want)
		}
	}
	if !bytes.Equal(last[0], last[1]) {
		t.Error("the run that was resumed ends with other bytes")
	}
	// The program's own table has no such row.
	if _, err := LoadCheckpoint(paths[0] + "/" + checkpointOf(7)); !errors.Is(err, run.ErrDamaged) || !strings.Contains(err.Error(), `model is "templates", want vae, mixture or grid`) {
		t.Errorf("under the table without the row: %v", err)
	}
}

// TestSettingsThatKindsShareAreOneOption: the union of the options has each key once and
// every kind's in that kind's own order, and knows who has which.
func TestSettingsThatKindsShareAreOneOption(t *testing.T) {
	kinds := append(Kinds(), templates())
	place, owners := map[string]int{}, map[string][]string{}
	for i, o := range Options(kinds...) {
		if _, twice := place[o.Key]; twice {
			t.Errorf("%s is there twice", o.Key)
		}
		place[o.Key] = i
		owners[o.Key] = o.Kinds
	}
	n := 0
	for _, k := range kinds {
		c := k.Config()
		last := -1
		for _, o := range c.Options() {
			if at, ok := place[o.Key]; !ok || at < last {
				t.Errorf("%s of %s is at %d, behind one at %d", o.Key, k.Name, at, last)
			}
			last = place[o.Key]
			n++
		}
	}
	for key, want := range map[string][]string{
		"seed": nil, "shapes": {"templates"}, "lr": {"vae", "grid"}, "tolerance": {"mixture", "grid", "templates"}, "freeze": {"vae"},
	} {
		if !reflect.DeepEqual(owners[key], want) {
			t.Errorf("%s is of %v, want %v", key, owners[key], want)
		}
	}
	_, err := ReadConfig([]byte(`{"model": "templates", "lr": 1, "components": 3}`), kinds...)
	const want = "config: components is a setting of mixture, not of templates\nconfig: lr is a setting of vae and grid, not of templates"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if c, err := ReadConfig([]byte(`{}`), templates()); err != nil || c.Model != "templates" {
		t.Errorf("the first kind is the default: %+v, %v", c, err)
	}
}

// TestAChangedCloneLeavesTheOriginal: every option of a clone is set, and so is every
// number of its lists.
func TestAChangedCloneLeavesTheOriginal(t *testing.T) {
	for _, kind := range append(Kinds(), templates()) {
		c := kind.Config()
		c.Split = []int{5, 6}
		before := string(c.JSON())
		clone := c.Clone()
		for _, o := range clone.Options() {
			switch v := o.Value.(type) {
			case setting[[]int]:
				for i := range *v.field {
					(*v.field)[i] += 7
				}
			default:
				for _, text := range []string{"77", "true"} {
					if o.Value.Set(text) == nil {
						break
					}
				}
			}
		}
		if after := string(c.JSON()); after != before {
			t.Errorf("%s: was\n%s\nis\n%s", kind.Name, before, after)
		}
		if string(clone.JSON()) == before {
			t.Errorf("%s: the clone has not changed", kind.Name)
		}
	}
}

// TestASetupLeavesTheConfigurationThatItWasMadeFrom, though it makes a batch no larger than
// the training images.
func TestASetupLeavesTheConfigurationThatItWasMadeFrom(t *testing.T) {
	c := smallConfig(t)
	c.vae().Batch = 1000
	before := string(c.JSON())
	s := newTestSetup(t, c)
	if got := s.Config.vae().Batch; got != s.Train.N() {
		t.Errorf("a batch of %d, want %d", got, s.Train.N())
	}
	if after := string(c.JSON()); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
}
