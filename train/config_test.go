package train

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"elbo/data"
	"elbo/train/run"
)

// TestEveryFieldOfAConfigurationIsAnOption sets each option of each kind to another value
// and sees that exactly one field changes, a different one each time.
func TestEveryFieldOfAConfigurationIsAnOption(t *testing.T) {
	values := map[string]string{
		"model": "x", "data": "x", "binarise": "static", "likelihood": "gaussian", "activation": "tanh", "objective": "iwae",
		"accelerate": "true", "split": "5,6", "grid": "5,6", "hidden": "7,8,9", "variance": "0.25", "beta": "0.5", "lr": "0.125",
		"quick": "true", "size": "5,6", "range": "-1,2.5", "background": "black", "split-by": "shuffle",
	}
	for _, kind := range Kinds() {
		defaults := fieldsOf(kind.Config())
		changed := map[string]string{}
		c := kind.Config()
		for i, option := range c.Options() {
			c := kind.Config()
			value, ok := values[option.Key]
			if !ok {
				value = "77"
			}
			if err := c.Options()[i].Value.Set(value); err != nil {
				t.Errorf("%s: %s: %v", kind.Name, option.Key, err)
				continue
			}
			if got := c.Options()[i].Value.String(); got != value {
				t.Errorf("%s: %s was set to %s and reads %s", kind.Name, option.Key, value, got)
			}
			var fields []string
			for field, is := range fieldsOf(c) {
				if !reflect.DeepEqual(is, defaults[field]) {
					fields = append(fields, field)
				}
			}
			if len(fields) != 1 || changed[fields[0]] != "" {
				t.Errorf("%s: %s changes fields %v, want one that no other option changes", kind.Name, option.Key, fields)
				continue
			}
			changed[fields[0]] = option.Key
		}
		if n := len(defaults); len(changed) != n {
			t.Errorf("%s: %d fields have an option, want all %d", kind.Name, len(changed), n)
		}
	}
}

// fieldsOf returns the fields of a configuration and of its settings, by their names.
func fieldsOf(c Config) map[string]any {
	fields := map[string]any{}
	for _, part := range []any{c, c.Settings} {
		v := reflect.Indirect(reflect.ValueOf(part))
		for _, f := range reflect.VisibleFields(v.Type()) {
			// Stochastic is set by latent and hidden: see TestLayersAreWrittenAsTheyAreRead.
			if !f.Anonymous && f.Name != "Settings" && f.Name != "Stochastic" {
				fields[f.Name] = v.FieldByIndex(f.Index).Interface()
			}
		}
	}
	return fields
}

func TestAConfigurationSurvivesItsFile(t *testing.T) {
	c := DefaultConfig(VAEModel)
	c.Data, c.Split, c.network().Hidden, c.vae().Variance.Value, c.network().LR, c.Binarise = `odd "name" \ ü`, []int{3, 4}, []int{}, 0.1, 1./3, data.Static
	c.Seed = 1<<64 - 1
	c.Size, c.Channels, c.Background, c.Range = []int{32, 48}, 3, "#010203", []float64{-0.5, 1. / 3}
	c.Quick, c.SplitBy, c.SplitSeed = true, ByShuffle, 7
	read, err := ReadConfig(c.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, c) {
		t.Errorf("read %+v, want %+v", read, c)
	}
}

func TestEveryFaultOfAConfigurationFileIsNamed(t *testing.T) {
	_, err := ReadConfig([]byte(`{"epoch": 3, "latnt": 5, "hidden": [200, "x"], "lr": "fast", "batch": 2.5, "zzz": 1, "beta": null, "split": "1;2", "variance": 0}`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`config: unknown key "epoch"; did you mean "epochs"?`,
		`config: unknown key "latnt"; did you mean "latent"?`,
		"config: hidden is [200, \"x\"], want an array of numbers",
		`config: lr is "fast", want a number`,
		`config: batch is "2.5", want a whole number`,
		"config: unknown key \"zzz\"; `elbo train --help` lists the keys",
		"config: beta is null, want a number, text or an array of numbers",
		`config: split is "1;2", want whole numbers with commas between, as in 200,200`,
		`config: variance is "0", want a positive number or learned`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if _, err := ReadConfig([]byte(`[1]`)); err == nil || !strings.Contains(err.Error(), "config: not a JSON object") {
		t.Errorf("an array: %v", err)
	}
}

func TestEveryImpossibleValueIsNamed(t *testing.T) {
	c := Config{Model: VAEModel, Limit: -1, Split: []int{1}, Binarise: "maybe", Likelihood: "bernoulli", Epochs: 0, Workers: -1, Settings: &VAESettings{
		NetworkSettings: NetworkSettings{Hidden: []int{0}, Activation: "relu", LR: 0},
		Variance:        Variance{Value: 2}, Objective: "iwae", K: 0, Beta: -2, Warmup: -1, Batch: 0, CheckpointEvery: -1,
	}}
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"data is empty, want mnist, a directory or a file",
		"limit is -1, want 0 (all) or more",
		"split has 1 numbers, want two: training and validation images",
		`binarise is "maybe", want threshold, static, dynamic or none`,
		"hidden: layer 1 has 0 units, want at least 1",
		"latent is 0, want at least 1",
		"k is 0, want at least 1",
		"variance is 2, but likelihood is bernoulli: only gaussian has a variance",
		"beta is -2, want 0 or more",
		"beta is -2 and warmup -1, but the objective iwae has no divergence to weight: want 1 and 0",
		"warmup is -1, want 0 or more epochs",
		"batch is 0, want at least 1",
		"epochs is 0, want at least 1",
		"lr is 0, want a positive number",
		"workers is -1, want 0 (one for each CPU) or more",
		"checkpoint-every is -1, want 0 (ends of epochs) or more steps",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

// TestOneOutcomeAfterBinarisationIsAnError: dark images under a threshold are all 0.
// TestExtentsBeyondAllMachinesAreRefused: extents that no machine could begin to work on are
// refused, and the largest that may be are not.
func TestExtentsBeyondAllMachinesAreRefused(t *testing.T) {
	for _, model := range []string{VAEModel, GridModel} {
		c := DefaultConfig(model)
		c.Workers, c.network().Hidden = 1024, slices.Repeat([]int{1}, 100)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v, want no error", model, err)
		}
		c.Workers, c.network().Hidden = 1025, make([]int, 200_001) // each of no unit
		err := fmt.Sprint(c.Validate())
		for _, want := range []string{"workers is 1025, want at most 1024", "hidden has 200001 layers, want at most 100"} {
			if !strings.Contains(err, want) {
				t.Errorf("%s: %.300s, want %q in it", model, err, want)
			}
		}
		if len(err) > 10_000 { // a fault for each of a hundred layers, not of all
			t.Errorf("%s: an error of %d bytes", model, len(err))
		}
	}
}

// TestAMachineOfAnySizeMakesRunsThatAnyOtherGoesOnWith: without --workers there is one
// for each CPU, but never more than a configuration may have.
func TestAMachineOfAnySizeMakesRunsThatAnyOtherGoesOnWith(t *testing.T) {
	ds := &data.Dataset{Train: data.Synthetic(20, 4, 4, 1)}
	c := DefaultConfig(VAEModel)
	c.Binarise = data.Static
	for cpus, want := range map[int]int{2: 2, 1024: 1024, 5000: 1024} {
		resolved, err := c.Resolve(ds, cpus)
		if err == nil {
			err = resolved.Validate()
		}
		if err != nil || resolved.Workers != want {
			t.Errorf("%d CPUs: %d workers, error %v, want %d and none", cpus, resolved.Workers, err, want)
		}
	}
}

// TestAKeyThatIsThereTwiceIsNamed, however it is written, once.
func TestAKeyThatIsThereTwiceIsNamed(t *testing.T) {
	_, err := ReadConfig([]byte(`{"latent": 2, "k": [1, {"k": 2}], "\u006catent": 3, "batch": 9, "latent": 4}`))
	const want = `config: key "latent" is there twice, want it once
config: k is [1, {"k": 2}], want an array of numbers`
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAByteOrderMarkIsSkippedOrNamed(t *testing.T) {
	c, err := ReadConfig([]byte("\ufeff{\"latent\": 7}"))
	if err != nil || c.network().Latent != 7 {
		t.Errorf("UTF-8: latent %d, error %v, want 7 and none", c.network().Latent, err)
	}
	for _, text := range []string{"\xff\xfe{\x00}\x00", "\xfe\xff\x00{\x00}"} {
		if _, err := ReadConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), "UTF-16") {
			t.Errorf("UTF-16: error %v, want one that names it", err)
		}
	}
}

func TestAConfigurationFileHasAtMostAMegabyte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blanks.json")
	for _, test := range []struct {
		size int
		err  string
	}{{1 << 20, "<nil>"}, {1<<20 + 1, path + " has more than 1048576 bytes, want a few lines of settings"}} {
		if err := os.WriteFile(path, bytes.Repeat([]byte(" "), test.size), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := run.ReadConfigFile(path); fmt.Sprint(err) != test.err {
			t.Errorf("%d bytes: %v, want %s", test.size, err, test.err)
		}
	}
}

func TestOneOutcomeAfterBinarisationIsAnError(t *testing.T) {
	dark := data.Images{N: 3, Rows: 1, Cols: 2, Bytes: []uint8{0, 100, 20, 120, 127, 3}}
	ds, err := data.New("dark", dark, data.Images{})
	if err != nil {
		t.Fatal(err)
	}
	all, _, _, err := ds.Split(3, 0)
	if err != nil {
		t.Fatal(err)
	}
	const want = "every pixel of all 3 training images is 0 after threshold binarisation: choose another --binarise, or brighter images"
	if err := oneClass(data.View{Subset: all, Mode: data.Threshold}); err == nil || err.Error() != want {
		t.Errorf("threshold: %v, want %s", err, want)
	}
	if err := oneClass(data.View{Subset: all, Mode: data.None}); err != nil {
		t.Errorf("none: %v", err)
	}
	bright := data.Images{N: 1, Rows: 1, Cols: 2, Bytes: []uint8{0, 200}}
	if ds, err = data.New("bright", bright, data.Images{}); err != nil {
		t.Fatal(err)
	}
	if all, _, _, err = ds.Split(1, 0); err != nil {
		t.Fatal(err)
	}
	if err := oneClass(data.View{Subset: all, Mode: data.Threshold}); err != nil {
		t.Errorf("a bright pixel: %v", err)
	}
}

func TestGreyPixelsNeedADecisionForBernoulli(t *testing.T) {
	grey := data.Images{N: 1, Rows: 1, Cols: 2, Bytes: []uint8{0, 100}}
	black := data.Images{N: 1, Rows: 1, Cols: 2, Bytes: []uint8{0, 255}}
	tests := []struct {
		name       string
		images     data.Images
		binarise   data.Binarisation
		likelihood string
		want       data.Binarisation
		fault      string
	}{
		{"mnist", grey, "", "bernoulli", data.Dynamic, ""},
		{"mnist", grey, "", "gaussian", data.None, ""},
		{"mnist", grey, data.Threshold, "gaussian", data.Threshold, ""},
		{"folder", black, "", "bernoulli", data.None, ""},
		{"folder", grey, "", "bernoulli", "", "folder has grey pixels, and the likelihood bernoulli wants 0 and 1: choose --binarise"},
		{"folder", grey, data.None, "bernoulli", "", "but binarise is none"},
		{"mnist", grey, data.None, "bernoulli", "", "but binarise is none"},
		{"folder", grey, "", "continuous-bernoulli", data.None, ""},
		{"folder", grey, data.Static, "bernoulli", data.Static, ""},
	}
	for _, test := range tests {
		ds, err := data.New(test.name, test.images, data.Images{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig([]byte(`{"likelihood": "` + test.likelihood + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		c.Data, c.Binarise = test.name, test.binarise
		got, err := c.Resolve(ds, 5)
		if test.fault != "" {
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%+v: error %v, want %q", test, err, test.fault)
			}
			continue
		}
		if err != nil || got.Binarise != test.want || got.Workers != 5 {
			t.Errorf("%+v: binarise %q, workers %d, %v; want %q, 5", test, got.Binarise, got.Workers, err, test.want)
		}
	}
}

// TestAnUnknownKindIsAllThatIsSaid: which keys it has is not known, so none of them is a
// fault.
func TestAnUnknownKindIsAllThatIsSaid(t *testing.T) {
	_, err := ReadConfig([]byte(`{"model": "flow", "data": "mnist", "layers": 3, "components": 9, "latent": 2}`))
	if err == nil || err.Error() != `config: model is "flow", want vae, mixture or grid` {
		t.Errorf("error %v", err)
	}
}
