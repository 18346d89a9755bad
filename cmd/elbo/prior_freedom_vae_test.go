package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
)

// tinyVAEFreedom returns a small experiment with VAEs on synthetic digits of 12 × 12 pixels.
func tinyVAEFreedom(t *testing.T, stdout, stderr io.Writer) (*program, priorFreedomOptions) {
	t.Helper()
	p, dir := tinyProgram(t, stdout, stderr)
	return p, priorFreedomOptions{
		model: train.VAEModel,
		vae:   vaeFreedomSettings{Model: train.VAEModel, Data: filepath.Join(dir, "data"), Images: []int{20}, Latents: []int{1, 3}, Steps: 2, Components: 4, Scored: 8, Seed: 1},
		out:   filepath.Join(dir, "out"),
		json:  true,
	}
}

func reportedVAEs(t *testing.T, stdout []byte) (r vaeFreedomReport) {
	t.Helper()
	if err := json.Unmarshal(stdout, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestVAEFreedomHasAnArmForEachPriorAndItsFiguresAddUp: whatever priors there are.
func TestVAEFreedomHasAnArmForEachPriorAndItsFiguresAddUp(t *testing.T) {
	var stdout bytes.Buffer
	p, o := tinyVAEFreedom(t, &stdout, io.Discard)
	if err := runVAEFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	r := reportedVAEs(t, stdout.Bytes())
	if want := 2*(len(model.Priors)+1) - 1; len(r.Arms) != want { // no flow of one dimension
		t.Fatalf("%d arms, want %d", len(r.Arms), want)
	}
	for _, a := range r.Arms {
		if !a.measured() {
			t.Errorf("%s has no figures", a.Arm)
			continue
		}
		for i, f := range []*vaeFigures{a.Train, a.Test} {
			if f.Bounds != nil || f.LogPs != nil {
				t.Errorf("%s: the report has the bound of each image", a.Arm)
			}
			want := f.Recon.Value - f.KL.Value
			switch {
			case a.Prior == perImagePrior && i == 0:
				want = f.Recon.Value
			case a.Prior == perImagePrior:
				want = f.Bound.Value // under another p(z): no sum of others
				if f.Bound.Value >= f.Recon.Value {
					t.Errorf("%s: the ELBO of test images %v is not below their reconstruction %v", a.Arm, f.Bound.Value, f.Recon.Value)
				}
			}
			if math.Abs(f.Bound.Value-want) > 1e-9*math.Abs(want) {
				t.Errorf("%s: bound %v, want %v", a.Arm, f.Bound.Value, want)
			}
			if rate := f.Rate; rate == nil || math.Abs(rate.MutualInformation.Value+rate.Marginal.Value-f.KL.Value) > 1e-9 {
				t.Errorf("%s: KL is %v, and in parts %+v", a.Arm, f.KL.Value, rate)
			}
			if exact := strings.HasPrefix(f.Method, "L_"); exact == (a.Latent == 1) || (f.AIS != nil) != (a.Latent == 3 && i == 1) || (f.AISAbove != nil) != (f.AIS != nil) {
				t.Errorf("%s: log p(x) by %s, AIS %v", a.Arm, f.Method, f.AIS != nil)
			}
		}
		if none := a.Prior == string(model.NormalPrior) || a.Prior == perImagePrior; none && a.Parameters != 0 {
			t.Errorf("%s: p(z) has %d parameters, want none", a.Arm, a.Parameters)
		}
	}
	for _, file := range []string{settingsFile, "report.json", "report.md", "table.csv", "prior-freedom.png"} {
		if _, err := os.Stat(filepath.Join(o.out, file)); err != nil {
			t.Error(err)
		}
	}
}

// TestVAEFreedomGoesOnToTheSameFigures: interrupted within an arm, it ends as one left alone.
// An experiment of the other kind is not gone on with.
func TestVAEFreedomGoesOnToTheSameFigures(t *testing.T) {
	var alone, stdout bytes.Buffer
	p, o := tinyVAEFreedom(t, &alone, io.Discard)
	o.vae.Latents, o.vae.Steps = []int{1}, 3
	if err := runVAEFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	o.out += "-2"
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &cancelling{text: "epoch 2/", left: 2, cancel: cancel}
	p.stdout, p.stderr = &stdout, stderr
	if err := runVAEFreedom(ctx, p, o); !errors.Is(err, context.Canceled) && !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("interrupted: %v", err)
	}
	if told := stderr.told.String(); !strings.Contains(told, "Go on with: elbo experiment prior-freedom --model vae --out "+o.out) {
		t.Errorf("told:\n%s", told)
	}
	p.stderr = io.Discard
	if err := runVAEFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	want, got := reportedVAEs(t, alone.Bytes()), reportedVAEs(t, stdout.Bytes())
	if !reflect.DeepEqual(got.Arms, want.Arms) || !slices.Equal(got.Findings, want.Findings) {
		t.Errorf("resumed: %+v\nleft alone: %+v", got, want)
	}
	other := o
	if err := runPriorFreedom(t.Context(), p, other); err == nil || !strings.Contains(err.Error(), "add --model vae") {
		t.Errorf("the experiment with mixtures: %v", err)
	}
	o.vae.Steps, o.given = 9, []string{"steps"}
	if err := runVAEFreedom(t.Context(), p, o); err == nil || !strings.Contains(err.Error(), "was begun with 3") {
		t.Errorf("with other steps: %v", err)
	}
}

// TestVAEFindingsFollowTheFigures: the sentences say what the figures say, whichever way they
// turn out.
func TestVAEFindingsFollowTheFigures(t *testing.T) {
	figures := func(recon, kl, i float64, spread float64) *vaeFigures {
		f := &vaeFigures{Recon: infer.Estimate{Value: recon}, KL: infer.Estimate{Value: kl}, Rate: &infer.Rate{
			MutualInformation: infer.Estimate{Value: i}, Marginal: infer.Estimate{Value: kl - i}}}
		for n := range 100 { // spread over images, the same in every arm but for a sign
			f.Bounds = append(f.Bounds, recon-kl+spread*float64(1-2*(n%2)))
		}
		f.Bound = mean(f.Bounds)
		f.LogP, f.Method = f.Bound, "L_200, a lower bound"
		return f
	}
	arm := func(prior string, trained, test *vaeFigures) vaeArmResult {
		return vaeArmResult{Prior: prior, Latent: 2, Images: 1000, Train: trained, Test: test}
	}
	known := func(a vaeArmResult) vaeArmResult { // of whose images log p(x) is kept
		a.Train.LogPs, a.Test.LogPs = a.Train.Bounds, a.Test.Bounds
		return a
	}
	normal := arm("normal", figures(-100, 10, 7, 1), figures(-104, 10, 7, 1))
	for _, c := range []struct {
		name string
		arms []vaeArmResult
		want []string
	}{
		{"a better prior, and an autoencoder that overfits", []vaeArmResult{
			normal,
			arm("mixture", figures(-100, 9, 7, 1), figures(-104, 9, 7, 1)),
			arm(perImagePrior, figures(-90, 0, 0, 1), figures(-104, 50, 6, 1)),
		}, []string{
			"With 2 latent dimensions and 1000 training images no prior that the data choose overfits more than N(0, I) by two standard errors (train - test: normal 4.00, mixture 4.00); the best test images are those of mixture, +1.00 ± 0.00 against N(0, I), with KL(q(z) ‖ p(z)) of 2.00 for 3.00, I_q of 7.00 for 7.00 and a reconstruction of -104.00 for -104.00.",
			"With 2 latent dimensions and 1000 training images a p(z) of each image's own, which leaves no KL, overfits: training images come to -90.00, against -110.00 under N(0, I), and test images under the mean of the training posteriors to -154.00, against -114.00: the KL is what holds it back.",
		}},
		{"a prior that overfits, and an autoencoder that does not", []vaeArmResult{
			known(arm("normal", figures(-100, 10, 7, 1), figures(-104, 10, 7, 1))),
			known(arm("vamp", figures(-98, 9, 7, 1), figures(-107, 9, 7, 1))),
			arm(perImagePrior, figures(-109, 0, 0, 1), figures(-110, 2, 1, 1)),
		}, []string{
			"With 2 latent dimensions and 1000 training images a prior that the data choose overfits more than N(0, I): vamp (train - test: normal 4.00, vamp 9.00, by L_200 the same do); N(0, I) has the best test images, +2.00 ± 0.00 against the next, vamp.",
			"With 2 latent dimensions and 1000 training images a p(z) of each image's own, which leaves no KL, does not overfit more than N(0, I) by two standard errors: training images come to -109.00, against -110.00 under N(0, I), and test images under the mean of the training posteriors to -112.00, against -114.00: the KL of the fixed prior was no help to test images.",
		}},
		{"nothing to tell them apart", []vaeArmResult{
			normal,
			arm("flow", figures(-100, 9, 7, 1), figures(-105, 9, 7, 1)),
		}, []string{
			"With 2 latent dimensions and 1000 training images a prior that the data choose overfits more than N(0, I): flow (train - test: normal 4.00, flow 5.00); on test images none is two standard errors from N(0, I), the best of them, flow, +0.00 ± 0.00.",
		}},
		{"alone", []vaeArmResult{normal}, []string{
			"With 2 latent dimensions and 1000 training images train - test is 4.00 under N(0, I), and no prior that the data choose has figures.",
		}},
		{"without N(0, I)", []vaeArmResult{arm("vamp", figures(-98, 9, 7, 1), nil)}, []string{
			"With 2 latent dimensions and 1000 training images the prior N(0, I) has no figures to compare with.",
		}},
	} {
		if got := vaeFindings(c.arms); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestFlagsOfTheOtherExperimentAreRefused, and an unknown model.
func TestFlagsOfTheOtherExperimentAreRefused(t *testing.T) {
	for _, c := range []struct {
		model string
		given []string
		want  string
	}{
		{"vae", []string{"limit"}, "--limit is for --model mixture"},
		{"mixture", []string{"steps"}, "--steps is for --model vae"},
		{"grid", nil, `unknown model "grid", want mixture or vae`},
	} {
		o := priorFreedomOptions{model: c.model, given: c.given}
		if err := o.chooseModel(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %v: %v, want %q", c.model, c.given, err, c.want)
		}
	}
	o := priorFreedomOptions{model: "vae", quick: true}
	o.Data = "mnist"
	if err := o.chooseModel(); err != nil || o.vae.validate(0) != nil {
		t.Errorf("quick: %v, %v", err, o.vae.validate(0))
	}
}
