package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

type evalOptions struct {
	run          string
	checkpoint   string // best, last or a file
	data         string
	split        string
	limit        int
	samples      int
	samplesGiven bool
	rate         bool // KL in two parts
	exact        bool
	ais          aisFlags
	seed         uint64
	seedGiven    bool
	json         bool
	export       string // file for the posterior table, "" for none
	top          int    // states of it, 0: all
}

func newEvalCmd(p *program) *cobra.Command {
	o := evalOptions{rate: true}
	cmd := &cobra.Command{
		Use:   "eval RUN|CHECKPOINT",
		Short: "Bounds on log p(x) of a trained model, with standard errors",
		Long: `Evaluate a trained model on a split of its data: reconstruction, KL, ELBO and the
importance-weighted bound L_k, in nats per image with standard errors over images,
bits per pixel, the KL of each latent dimension, and KL in two parts: what z tells of the
image, and how far the mean posterior is from the prior. Of a mixture or a grid log p(x) is
exact; where the images have labels, its most probable states are compared with them (NMI, ARI,
purity, a table of counts), and with --split train AIC, BIC and ICL compare it with models of
other sizes.

L_k is a lower bound on log p(x), and close to it where the encoder is good. The Pareto
shape k-hat of its weights says whether it is: where it is high for more than one image
in a hundred, a line says so, and what comes nearer. --exact computes log p(x) itself, by quadrature
over a latent space of one to three dimensions, with its error stated, and so how far
the ELBO is below it: KL(q(z|x) ‖ p(z|x)). --ais estimates log p(x) without the encoder, by
annealed importance sampling from the prior to the posterior, and measures its own
error on images that the model drew itself.

The binarisation is the one the run was trained with; where that is dynamic,
evaluation uses one fixed draw, made with the run's seed.`,
		Example: "  elbo eval runs/vae-001 --samples 1000\n  elbo eval runs/vae-001 --split train --limit 1000 --json\n  elbo eval runs/plane --exact\n  elbo eval runs/vae-001 --limit 300 --samples 5000 --ais",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.seedGiven, o.samplesGiven = args[0], cmd.Flags().Changed("seed"), cmd.Flags().Changed("samples")
			if o.samples < 1 {
				return usagef("samples is %d, want at least 1", o.samples)
			}
			if o.limit < 0 {
				return usagef("limit is %d, want 0 (all) or more", o.limit)
			}
			if o.top < 0 || o.top > 0 && o.export == "" {
				return usagef("top is %d, want 0 (all) or more, and with --export-posterior FILE", o.top)
			}
			if o.export != "" {
				if _, err := flagFile("--export-posterior", o.export, ".npy"); err != nil {
					return fmt.Errorf("%w; `%s encode %s --out %s` writes a table with names", err, p.name, run.ShellPath(args[0]), o.export)
				}
			}
			if err := o.ais.check(cmd); err != nil {
				return err
			}
			return runEval(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.split, "split", "", "images to evaluate: "+splitUsage)
	cmd.Flags().IntVar(&o.limit, "limit", 0, "only the first N images of the split (0: all)")
	cmd.Flags().IntVar(&o.samples, "samples", 100, "draws of z for each image: the k of L_k")
	cmd.Flags().Uint64Var(&o.seed, "seed", 0, "seed of the draws of z and of the chains of --ais (default: the run's)")
	cmd.Flags().BoolVar(&o.exact, "exact", false, "log p(x) by quadrature over the latent space, 1 to 3 dimensions, with its error")
	o.ais.add(cmd)
	addModelFlags(cmd, &o.checkpoint, &o.data)
	cmd.Flags().StringVar(&o.export, "export-posterior", "", "write the table p(z=k|x) as .npy, float32, images x states (models with a table)")
	cmd.Flags().IntVar(&o.top, "top", 0, "of the table, only the N likeliest states of each image, as images x 2N: N states, then their probabilities")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// addModelFlags adds the flags that say which model of a run to use, and on what.
func addModelFlags(cmd *cobra.Command, checkpoint, dataPath *string) {
	cmd.Flags().StringVar(checkpoint, "checkpoint", "best", "best, last or a checkpoint's file")
	cmd.Flags().StringVar(dataPath, "data", "", "other data than the run's, or the place they were moved to")
}

func runEval(ctx context.Context, p *program, o evalOptions) error {
	ctx, err := p.join(ctx)
	if err != nil {
		return err
	}
	t, view, err := p.openScored(&o)
	if err := p.agree(err, t.setup()); err != nil {
		return err
	}
	if o.export != "" && p.first() {
		if err := exportPosterior(ctx, t.Setup, view, o.export, o.top); err != nil {
			return err
		}
	}
	e, err := p.scoreAll(ctx, t, view, o)
	if err != nil {
		return err
	}
	p.sayVariance(t.Setup)
	if o.json {
		return writeJSON(p.stdout, e)
	}
	e.write(p.stdout)
	e.writeMore(p.stdout)
	if e.Table != nil && e.Table.Clusters != nil {
		writeContingency(p.stdout, e.Table.Clusters)
	}
	return nil
}

// setup is nil of a model that could not be opened.
func (t *trained) setup() *train.Setup {
	if t == nil {
		return nil
	}
	return t.Setup
}

// openScored opens the model and the images that are to be scored, after it has checked what was
// asked of them; of o it settles the split and the seed.
func (p *program) openScored(o *evalOptions) (*trained, data.View, error) {
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return nil, data.View{}, err
	}
	o.split = t.chosenSplit(o.split)
	v, err := t.view(o.split, o.limit)
	if err != nil {
		return nil, v, err
	}
	if err := p.mayIntegrate(t, o); err != nil {
		return nil, v, err
	}
	if o.ais.on {
		if err := p.mayAnneal(t, o.run); err != nil {
			return nil, v, err
		}
	}
	if !o.seedGiven {
		o.seed = t.Config.Seed
	}
	return t, v, nil
}

// scoreAll scores images under a bar, as asked.
func (p *program) scoreAll(ctx context.Context, t *trained, v data.View, o evalOptions) (*evalReport, error) {
	ask := train.ScoreOptions{Samples: o.samples, Seed: o.seed, Rate: o.rate, Exact: o.exact, Peers: t.Reducer}
	if o.ais.on {
		ask.AIS = &o.ais.AISOptions
	}
	bar := newBar(p)
	defer bar.done()
	bar.assessing(&ask, v.N())
	e, err := evaluate(ctx, t.Setup, v, o.split, ask)
	if err != nil {
		return nil, err
	}
	e.Checkpoint, e.Step = t.Path, t.State.Step
	return e, nil
}

// ownShare is how many of some images are this process' own.
func ownShare(p infer.Peers, images int) int {
	lo, hi := infer.Share(p, images)
	return hi - lo
}

// assessing has the bar show an assessment of images: its draws, quadrature and annealing.
func (b *bar) assessing(ask *train.ScoreOptions, images int) {
	images = ownShare(ask.Peers, images)
	drawing := fmt.Sprintf("%s an image", count(ask.Samples, "draw"))
	ask.Scored = func(n int) { b.at(drawing, n, images) }
	ask.Progress = func(n int) { b.at("quadrature", n, images) }
	if ask.AIS != nil {
		ask.AIS.Progress = b.annealing(images)
	}
}

// splitUsage is the help of a flag that names one.
const splitUsage = "train, validation, test or all (default: test; of --data that the run was not trained on, all)"

// chosenSplit is the split that a command is about: the one that was given, or else the
// test images, or all of data that the model was not trained on.
func (t *trained) chosenSplit(given string) string {
	switch {
	case given != "":
		return given
	case t.other:
		return "all"
	}
	return "test"
}

// view returns the first images of a split.
func (t *trained) view(split string, limit int) (data.View, error) {
	views := map[string]data.View{"train": t.Train, "validation": t.Validation, "test": t.Test, "all": t.All}
	v, ok := views[split]
	if !ok {
		return v, usagef("unknown split %q, want train, validation, test or all", split)
	}
	if v.N() == 0 {
		return v, usagef("the run has no %s images: choose another --split", split)
	}
	if limit > 0 {
		v.Subset = v.First(limit)
	}
	return v, nil
}

// evalReport is an evaluation with all that its figures depend on.
type evalReport struct {
	infer.Evaluation
	BitsPerDim   float64 `json:"bits_per_dim"`              // of the ELBO
	IWBitsPerDim float64 `json:"iw_bits_per_dim,omitempty"` // of L_k

	Data         string `json:"data"`
	DataSHA256   string `json:"data_sha256"`
	Split        string `json:"split"`
	Binarise     string `json:"binarise"`
	BinariseSeed uint64 `json:"binarise_seed"`
	PixelsSHA256 string `json:"pixels_sha256"` // of the very pixels that were evaluated
	Likelihood   string `json:"likelihood"`
	Seed         uint64 `json:"seed"` // of the draws of z
	Checkpoint   string `json:"checkpoint,omitempty"`
	Step         int64  `json:"step,omitempty"` // of the checkpoint

	pixels   int  // D
	channels int  // 3 of colour
	latent   int  // Z; 0 of a model without
	fitted   bool // these are the images that the model was fitted to, all of them
}

// evaluate scores a view: a VAE as asked, a model with a table exactly.
func evaluate(ctx context.Context, s *train.Setup, v data.View, split string, ask train.ScoreOptions) (*evalReport, error) {
	e, err := s.Score(ctx, v, ask)
	if err != nil {
		return nil, err
	}
	result := &evalReport{
		Evaluation: e,
		BitsPerDim: model.BitsPerDim(e.ELBO, v.D()),
		Data:       s.Dataset.Name, DataSHA256: s.Dataset.SHA256, Split: split,
		Binarise: string(v.Mode), BinariseSeed: v.Seed, PixelsSHA256: v.Hash(),
		pixels: v.D(), channels: s.Dataset.Channels(), latent: s.Config.Network().Latent,
		fitted:     split == "train" && v.N() == s.Train.N(),
		Likelihood: string(s.Config.Likelihood), Seed: ask.Seed,
	}
	if e.IW != nil {
		result.IWBitsPerDim = model.BitsPerDim(e.IW.Bound, v.D())
	}
	return result, nil
}

// write prints the table of bounds.
func (e *evalReport) write(w io.Writer) {
	t := newTable(w, tabwriter.AlignRight)
	row := func(name string, value, se, bits float64) {
		bitsText := ""
		if bits != 0 {
			bitsText = fmt.Sprintf("%.4f", bits)
		}
		error := "-" // of one image there is none
		if e.Images > 1 {
			error = fmt.Sprintf("± %.2f", se)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\t%s\t\n", name, value, error, bitsText)
	}
	price := "bits/pixel"
	if e.channels > 1 {
		price = "bits/dim" // of a number: a pixel has several
	}
	fmt.Fprintf(t, "%s\tnats/image\tstd. error\t%s\t\n", e.Split, price)
	row("reconstruction", e.Recon, e.ReconSE, 0)
	row("KL", e.KL, e.KLSE, 0)
	if e.Table != nil {
		row("log p(x)", e.LogP.Value, e.LogP.SE, e.BitsPerDim)
	} else {
		row("ELBO", e.ELBO, e.ELBOSE, e.BitsPerDim)
		row(fmt.Sprintf("L_%d", e.IW.K), e.IW.Bound, e.IW.SE, e.IWBitsPerDim)
	}
	if e.Gap != nil {
		row("log p(x)", e.LogP.Value, e.LogP.SE, model.BitsPerDim(e.LogP.Value, e.pixels))
		row("log p(x) - ELBO", e.Gap.Value, e.Gap.SE, 0)
	}
	if a := e.AIS; a != nil {
		row("log p(x) by AIS", a.Value, a.SE, model.BitsPerDim(a.Value, e.pixels))
	}
	t.Flush()
	switch model.LikelihoodName(e.Likelihood).Measure() {
	case model.NoLikelihood:
		fmt.Fprintln(w, "grey-bernoulli is the cross-entropy of grey levels, not a likelihood: these are no bounds on log p(x)")
	case model.ProbabilityDensity:
		fmt.Fprintf(w, "%s is a density of pixels from 0 to 1: its %s compare with those of densities alone\n", e.Likelihood, price)
	case model.BoundOnMass:
		fmt.Fprintf(w, "%s is a density of (level + u)/256: each figure is a lower bound on the log-probability of the levels, and its %s are at least what the model needs\n", e.Likelihood, price)
	}
	seeded := ""
	if e.Binarise == string(data.Static) || e.Binarise == string(data.Dynamic) {
		seeded = fmt.Sprintf(" (seed %d)", e.BinariseSeed)
	}
	fmt.Fprintf(w, "%s of %s (SHA-256 %.12s…), %s, binarise %s%s", count(e.Images, "image"), e.Data, e.DataSHA256, e.Likelihood, e.Binarise, seeded)
	if e.IW != nil {
		fmt.Fprintf(w, "; %s of z an image (seed %d), effective %.1f", count(e.Draws, "draw"), e.Seed, e.IW.ESS)
	}
	if e.Checkpoint != "" {
		fmt.Fprintf(w, "; %s, step %d", filepath.Base(e.Checkpoint), e.Step)
	}
	fmt.Fprintln(w)
}

// writeMore prints what a model's latent variable carries.
func (e *evalReport) writeMore(w io.Writer) {
	if t := e.Table; t != nil {
		fmt.Fprintf(w, "exact: a sum over %s (rounding below %.1g nats); %d of them hold half an image or more\n", count(t.States, "state"), e.LogP.Error, t.Used)
		fmt.Fprintf(w, "the bound at q = p(z): %.2f, below log p(x) by KL(p(z) ‖ p(z|x)) = %.2f nats\n", t.PriorBound, t.PriorKL)
		fmt.Fprintf(w, "a prior chosen with each image in hand would reach %.2f: max over z of log p(x|z)\n", t.BestState)
		if e.fitted {
			fmt.Fprintf(w, "AIC %.0f, BIC %.0f, ICL %.0f (-2 log p of all images and a price for %d parameters, nats: lower is better)\n", t.AIC, t.BIC, t.ICL, t.Parameters)
		}
		if t.Clusters != nil {
			writeClusters(w, t.Clusters)
		}
		return
	}
	e.writeExact(w)
	e.writeTrust(w)
	e.writeRate(w)
	if e.KLPerLayer != nil {
		e.writeLayers(w)
		return
	}
	fmt.Fprintf(w, "%d of %d latent dimensions active (variance of E[z|x] over images above %g)\n", *e.ActiveUnits, e.latent, infer.ActiveThreshold)
	if e.KLPerDim != nil {
		fmt.Fprintf(w, "KL per dimension, nats%s\n", largestFirst(e.KLPerDim))
	}
}

// writeLayers prints what each of several stochastic layers carries.
func (e *evalReport) writeLayers(w io.Writer) {
	for l, kl := range e.KLPerLayer {
		fmt.Fprintf(w, "layer %d: KL %.2f nats given the layers beside it, %s active (variance of its code over images above %g)\n", l+1, kl, count(e.ActivePerLayer[l], "dimension"), infer.ActiveThreshold)
	}
}

// Up to listed figures are all listed; of more, the leading ones.
const (
	listed  = 20
	leading = 10
)

// largestFirst lists figures.
func largestFirst(figures []float64) string {
	sorted := slices.SortedFunc(slices.Values(figures), func(a, b float64) int { return cmp.Compare(b, a) })
	left := 0
	if len(sorted) > listed {
		left, sorted = len(sorted)-leading, sorted[:leading]
	}
	var s strings.Builder
	if len(sorted) > 1 {
		s.WriteString(", largest first")
	}
	s.WriteString(":")
	for _, v := range sorted {
		fmt.Fprintf(&s, " %.2f", v)
	}
	if left > 0 {
		fmt.Fprintf(&s, " and %d more, in --json", left)
	}
	return s.String()
}
