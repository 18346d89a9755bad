package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model/infer"
	"elbo/train/run"
)

// recomputed is testdata/recompute/reference.json: bounds of the checkpoint beside it on
// 500 test images of MNIST, by a numpy script with draws of its own.
type recomputed struct {
	Images     int
	K          int
	Replicates int
	Checkpoint string `json:"checkpoint_sha256"`
	Pixels     string `json:"pixels_sha256"`
	ELBO       recomputedBound
	IW         recomputedBound
	LogP       struct {
		Images       int
		Value, Error float64
	} `json:"log_p"`
}

// recomputedBound is the mean over replicates, its standard error, and the standard
// deviation of one replicate of k draws for each image.
type recomputedBound struct {
	Value       float64
	SE          float64
	ReplicateSD float64 `json:"replicate_sd"`
}

func recomputePath(name string) string { return filepath.Join("testdata", "recompute", name) }

// TestBoundsAgreeWithAnIndependentRecomputation evaluates a frozen checkpoint and
// compares with what numpy made of the same pixels.
func TestBoundsAgreeWithAnIndependentRecomputation(t *testing.T) {
	var want recomputed
	text, err := os.ReadFile(recomputePath("reference.json"))
	if err == nil {
		err = json.Unmarshal(text, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := recomputePath("checkpoint.safetensors")
	if sum := sha256.Sum256(fileBytes(t, path)); hex.EncodeToString(sum[:]) != want.Checkpoint {
		t.Fatal("the figures are of another checkpoint: make reference-recompute")
	}
	state, err := LoadCheckpoint(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(state.Config)
	if err != nil {
		t.Fatal(err)
	}
	c.Workers = 2
	s, err := NewSetup(c, 2, graphtest.Engine)
	if err == nil {
		err = errors.Join(s.CheckData(state), s.Load(state))
	}
	if err != nil {
		t.Fatal(err)
	}
	v := s.Test
	v.Subset = v.First(want.Images)
	if pixels := sha256.Sum256(outcomes(v)); hex.EncodeToString(pixels[:]) != want.Pixels {
		t.Fatal("the pixels are not those that were exported: make reference-recompute")
	}
	const seeds = 4
	var elbo, iw infer.Running
	for seed := range uint64(seeds) {
		e, err := s.Score(context.Background(), v, ScoreOptions{Samples: want.K, Seed: 70 + seed})
		if err != nil {
			t.Fatal(err)
		}
		elbo.Add(e.ELBO)
		iw.Add(e.IW.Bound)
	}
	for _, bound := range []struct {
		name string
		got  float64
		want recomputedBound
	}{{"ELBO", elbo.Mean, want.ELBO}, {"L_k", iw.Mean, want.IW}} {
		// The images are the same, so draws are all that differs: here the mean of four
		// replicates, there that of forty. Four standard errors of both together: one
		// chance in 16 000, and the seeds are fixed. Float32 adds 1e-3 nats at most: 784
		// terms.
		combined := math.Hypot(bound.want.ReplicateSD/math.Sqrt(seeds), bound.want.SE)
		if d := math.Abs(bound.got - bound.want.Value); !(d <= 4*combined+1e-3) {
			t.Errorf("%s = %.4f, numpy has %.4f: apart by %.4f, standard error of both %.4f", bound.name, bound.got, bound.want.Value, d, combined)
		} else {
			t.Logf("%s = %.4f, numpy %.4f, apart by %.4f, standard error of both %.4f", bound.name, bound.got, bound.want.Value, d, combined)
		}
		// The check is worth something: an error of a tenth of a nat is found.
		if 4*combined+1e-3 > 0.1 {
			t.Errorf("%s: a standard error of %.4f nats proves too little: want more replicates or draws", bound.name, combined)
		}
	}
	v.Subset = v.First(want.LogP.Images)
	e, err := s.Score(context.Background(), v, ScoreOptions{Samples: 1, Seed: 1, Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(e.LogP.Value - want.LogP.Value); !(d <= e.LogP.Error+want.LogP.Error+1e-3) {
		t.Errorf("log p(x) = %.5f ± %.5f, numpy has %.5f ± %.5f", e.LogP.Value, e.LogP.Error, want.LogP.Value, want.LogP.Error)
	}
}

// outcomes are the pixels of a view as `elbo data export` writes them: a byte each.
func outcomes(v data.View) []byte {
	x, all := make([]float32, v.D()), make([]byte, 0, v.N()*v.D())
	for i := range v.N() {
		v.Pixels(x, i, 0)
		for _, p := range x {
			all = append(all, byte(p))
		}
	}
	return all
}

// TestWriteTheCheckpointToRecompute trains the frozen checkpoint anew where the variable
// ELBO_WRITE_REFERENCE asks for it: small enough for the repository, without Adam's
// moments.
func TestWriteTheCheckpointToRecompute(t *testing.T) {
	if os.Getenv("ELBO_WRITE_REFERENCE") == "" {
		t.Skip("see make reference-recompute")
	}
	c := DefaultConfig(VAEModel)
	c.network().Hidden, c.network().Latent, c.vae().Batch, c.Epochs, c.Workers = []int{32}, 2, 100, 8, 1
	c.Binarise, c.network().LR = data.Static, 3e-3
	s := newTestSetup(t, c)
	dir := newTrainingRun(t, s.Config)
	if _, err := Run(context.Background(), s, dir, nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	state, _, err := dir.Best()
	if err != nil {
		t.Fatal(err)
	}
	state.Moments = nil
	if err := run.Save(recomputePath("checkpoint.safetensors"), state); err != nil {
		t.Fatal(err)
	}
}
