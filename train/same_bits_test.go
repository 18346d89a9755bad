package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"elbo/graph"
	"elbo/graph/blas"
	"elbo/model/infer"
	"elbo/train/safetensors"
)

// sameBits are short runs that take every road through the arithmetic of training.
var sameBits = []struct {
	name     string
	model    string
	settings string // key=text, as in a configuration
	score    ScoreOptions
}{
	{"vae", VAEModel, "hidden=20,33 activation=tanh", ScoreOptions{Samples: 20, Exact: true}},
	{"vae, annealed", VAEModel, "latent=5 beta=2 warmup=2", ScoreOptions{Samples: 20, AIS: &infer.AISOptions{Steps: 20, Chains: 4, Leapfrogs: 3}}},
	{"vae, gated", VAEModel, "network=gated gradient=stl lr-schedule=cosine weight-decay=0.01", ScoreOptions{Samples: 20}},
	{"vae, convolutions", VAEModel, "network=conv conv-channels=4,5 kernel=5 likelihood=discretized-logistic binarise=none", ScoreOptions{Samples: 20}},
	{"vae, residual blocks", VAEModel, "network=residual conv-channels=4,5 stride=3 blocks=1 activation=elu", ScoreOptions{Samples: 20}},
	{"vae, grey levels", VAEModel, "likelihood=continuous-bernoulli binarise=none activation=elu", ScoreOptions{Samples: 20}},
	{"vae, gaussian", VAEModel, "likelihood=gaussian binarise=none variance=learned activation=softplus", ScoreOptions{Samples: 20, Exact: true}},
	{"vae, levels", VAEModel, "likelihood=discretized-logistic binarise=none", ScoreOptions{Samples: 20}},
	{"vae, mixtures of levels", VAEModel, "likelihood=discretized-logistic-mixture binarise=none", ScoreOptions{Samples: 20}},
	{"vae, beta-binomial levels", VAEModel, "likelihood=beta-binomial binarise=none", ScoreOptions{Samples: 20}},
	{"vae, iwae", VAEModel, "objective=iwae k=3", ScoreOptions{Samples: 20}},
	{"vae, iwae with less noise", VAEModel, "objective=iwae k=3 gradient=dreg", ScoreOptions{Samples: 20}},
	{"vae, full covariance", VAEModel, "posterior=full", ScoreOptions{Samples: 20, Exact: true}},
	{"vae, flows", VAEModel, "posterior=flow prior=flow latent=3", ScoreOptions{Samples: 20}},
	{"vae, autoregressive flow", VAEModel, "posterior=flow flow=autoregressive latent=3", ScoreOptions{Samples: 20}},
	{"vae, prior mixture", VAEModel, "prior=mixture prior-components=6", ScoreOptions{Samples: 20, Exact: true}},
	{"vae, prior mixture by EM", VAEModel, "prior=mixture prior-components=6 prior-update=em posterior=full", ScoreOptions{Samples: 20}},
	{"vae, prior vamp", VAEModel, "prior=vamp pseudo-inputs=6", ScoreOptions{Samples: 20, Rate: true}},
	{"vae, prior exemplar", VAEModel, "prior=exemplar prior-components=6 posterior=full objective=iwae k=3", ScoreOptions{Samples: 20}},
	{"vae, two layers", VAEModel, "latent=3,2 hidden=20;10 objective=iwae k=3 gradient=dreg", ScoreOptions{Samples: 20, AIS: &infer.AISOptions{Steps: 20, Chains: 4, Leapfrogs: 3}}},
	{"mixture", MixtureModel, "", ScoreOptions{}},
	{"mixture, accelerated", MixtureModel, "accelerate=true init=kmeans++", ScoreOptions{}},
	{"mixture, prior per image", MixtureModel, "prior=per-image init=random", ScoreOptions{}},
	{"mixture, incremental", MixtureModel, "incremental=40", ScoreOptions{}},
	{"gaussian mixture", MixtureModel, "likelihood=gaussian binarise=none variance-floor=0.01", ScoreOptions{}},
	{"gaussian mixture, accelerated", MixtureModel, "likelihood=gaussian binarise=none variance-floor=0.01 accelerate=true", ScoreOptions{}},
	{"grid", GridModel, "", ScoreOptions{}},
	{"grid of quadrature", GridModel, "prior=shared grid-rule=gauss-hermite", ScoreOptions{}},
}

// bitsReference is testdata/same_bits.json: SHA-256 of what the runs end with, by name.
type bitsReference struct {
	Go   string `json:"go"`   // the version that it was written with
	Sums string `json:"sums"` // of Engine.Numerics
	Runs map[string]bitsOfRun
}

type bitsOfRun struct {
	Tensors string `json:"tensors"` // the parameters
	Figures string `json:"figures"` // what an evaluation says, as JSON
}

// TestRunsHaveTheBitsTheyHad holds the tensors and the figures of short runs to frozen
// SHA-256, on every architecture and CPU that the tests run on: amd64 with all kernels and,
// under an emulator, arm64.
func TestRunsHaveTheBitsTheyHad(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("nobody has looked at %s", runtime.GOARCH)
	}
	path := filepath.Join("testdata", "same_bits.json")
	engine := func(workers int) *graph.Engine { return graph.NewEngine(workers, blas.BuiltIn()) }
	sums := engine(1).Numerics()["sums"]
	got := bitsReference{Go: runtime.Version(), Sums: sums, Runs: map[string]bitsOfRun{}}
	for _, test := range sameBits {
		c := smallConfig(t)
		if test.model != VAEModel {
			c = emConfig(t, test.model)
			c.Epochs = 5
		}
		for setting := range strings.FieldsSeq(test.settings) {
			key, text, _ := strings.Cut(setting, "=")
			if err := c.Set(key, text); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
		}
		s, err := NewSetup(c, 2, engine)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if _, err := Run(context.Background(), s, newHastyRun(t, c), nil, &listener{}, still); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		test.score.Seed = 1
		e, err := s.Score(context.Background(), s.Validation, test.score)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		figures, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		t.Logf("%s: %s", test.name, figures)
		got.Runs[test.name] = bitsOfRun{Tensors: sumOfTensors(s.Tensors()), Figures: sumOf(figures)}
	}
	if os.Getenv("ELBO_WRITE_REFERENCE") != "" {
		text, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	var want bitsReference
	if err := json.Unmarshal(fileBytes(t, path), &want); err != nil {
		t.Fatal(err)
	}
	if want.Sums != sums {
		t.Fatalf("%s is of sums %s, and graph/engine.go says %s: run `make reference-bits` on any machine, and look at which runs differ", path, want.Sums, sums)
	}
	differ := len(want.Runs) != len(got.Runs)
	for name, bits := range got.Runs {
		if was := want.Runs[name]; bits != was {
			differ = true
			t.Errorf("%s: the run ends with other bits: tensors %.12s, figures %.12s; frozen are %.12s and %.12s", name, bits.Tensors, bits.Figures, was.Tensors, was.Figures)
		}
	}
	if !differ {
		return
	}
	t.Errorf(`The bits of runs have changed. On %s with %s; frozen were they with %s.
If only one architecture or CPU fails here, its arithmetic differs: look for a product that is fused with a sum
(make fused), a function of package math, or a kernel that rounds otherwise.
If all fail and that was meant: raise sums in graph/engine.go, so that old runs are told, and run make reference-bits.
If all fail with another version of Go alone, its compiler, sort or math/rand/v2 does something else: find out what
before anything is frozen anew, and raise sums then as well.`, runtime.GOARCH, runtime.Version(), want.Go)
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// sumOfTensors is the SHA-256 of names and values.
func sumOfTensors(tensors []safetensors.Tensor) string {
	var b []byte
	for _, tensor := range tensors {
		b = append(b, tensor.Name...)
		for _, v := range tensor.Data {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return sumOf(b)
}
