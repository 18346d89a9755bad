package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

type swapOptions struct {
	run, checkpoint, data string
	grid                  []int // nil: by the latent dimensions
	rule                  model.GridRule
	ruleGiven             bool
	epochs                int
	epochsGiven           bool
	unfreeze              bool
	out                   string // "": the first free name under runs/
	split                 string
	limit, samples        int
	json                  bool
}

// What swap does unless told otherwise.
const (
	swapIterations = 20 // of EM
	swapEpochs     = 10 // of an encoder
)

// swapGrids are the points along each of 1, 2 or 3 latent dimensions.
var swapGrids = [][]int{1: {100}, 2: {20, 20}, 3: {8, 8, 8}}

func newSwapCmd(p *program) *cobra.Command {
	var o swapOptions
	flags := train.DefaultConfig(train.GridModel).Settings.(*train.GridSettings)
	cmd := &cobra.Command{
		Use:   "swap RUN|CHECKPOINT",
		Short: "Give a decoder another inference: a VAE's a grid table, a grid's an encoder",
		Long: `Compare ways of inference for one decoder of 1 to 3 latent dimensions, and cross from
EM to VAE or back:

  RUN is a vae   its decoder becomes that of a grid, and EM goes on with it
  RUN is a grid  its decoder stays as it is, and an encoder is trained for it
                 (with --unfreeze both are trained from there)

Either makes a run directory, which eval, sample, resume and the other commands take,
and prints what was before and after: log p(x) under the vae's p(z) by quadrature, the
evidence under the grid's points by its table, the ELBO of each image's own best
diagonal Gaussian, and that of the encoder. With --epochs 0 nothing is trained: only
the figures of RUN are printed.

It is short for ` + "`elbo train --init-from RUN`, with `--freeze decoder`" + `, whose other flags
are there for more.`,
		Example: "  elbo swap runs/vae-001 --grid 30x30 --epochs 50\n  elbo swap runs/grid-001 --out runs/encoded\n  elbo swap runs/vae-001 --epochs 0",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.rule = args[0], flags.GridRule
			o.ruleGiven, o.epochsGiven = cmd.Flags().Changed("grid-rule"), cmd.Flags().Changed("epochs")
			if cmd.Flags().Changed("grid") {
				o.grid = flags.Grid
			}
			switch {
			case o.epochs < 0:
				return usagef("epochs is %d, want 0 (train nothing) or more", o.epochs)
			case o.samples < 1:
				return usagef("samples is %d, want at least 1", o.samples)
			case o.limit < 0:
				return usagef("limit is %d, want 0 (all) or more", o.limit)
			}
			return runSwap(cmd.Context(), p, o)
		},
	}
	for _, option := range flags.Options() {
		if option.Key == "grid" || option.Key == "grid-rule" {
			cmd.Flags().Var(option.Value, option.Key, option.Usage)
		}
	}
	cmd.Flags().Lookup("grid").DefValue = "100, 20x20 or 8x8x8"
	cmd.Flags().IntVar(&o.epochs, "epochs", 0, fmt.Sprintf("iterations of EM, or epochs of the encoder (default %d and %d)", swapIterations, swapEpochs))
	cmd.Flags().BoolVar(&o.unfreeze, "unfreeze", false, "train the decoder of a grid together with its new encoder")
	cmd.Flags().StringVar(&o.out, "out", "", "run directory to make (default: the first free one under runs/)")
	cmd.Flags().StringVar(&o.split, "split", "test", "images of the figures: test, validation, train or all")
	cmd.Flags().IntVar(&o.limit, "limit", 200, "only the first N images of the split (0: all)")
	cmd.Flags().IntVar(&o.samples, "samples", 500, "draws of z for each image, for the ELBO")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// swapReport is what swap prints.
type swapReport struct {
	From     string            `json:"from"`            // the checkpoint
	Run      string            `json:"run,omitempty"`   // that was made
	Model    string            `json:"model,omitempty"` // that was trained: grid or vae
	byEM     bool              // it was trained by EM
	prior    string            // p(z) of the vae
	Frozen   bool              `json:"frozen,omitempty"` // its decoder is that of the checkpoint
	Grid     []int             `json:"grid"`
	GridRule string            `json:"grid_rule"`
	Before   *infer.Inferences `json:"before"`
	After    *infer.Inferences `json:"after,omitempty"`
	OwnPrior bool              `json:"own_prior,omitempty"` // the table's p(z) was chosen by the data

	Data         string `json:"data"`
	DataSHA256   string `json:"data_sha256"`
	Split        string `json:"split"`
	Binarise     string `json:"binarise"`
	PixelsSHA256 string `json:"pixels_sha256"`
	Draws        int    `json:"draws"`
	Seed         uint64 `json:"seed"`
}

// bridge is a decoder under both inferences, on its way from the one to the other.
type bridge struct {
	p       *program
	o       swapOptions
	source  *trained
	grid    *train.Setup
	vae     *train.Setup // the encoder that there is, or is to be
	encoded bool         // there is one before
	target  *train.Setup // grid or vae: the one to train
	view    data.View
}

func runSwap(ctx context.Context, p *program, o swapOptions) error {
	p.sayIfInTraining(o.run)
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	b, err := p.newBridge(t, o)
	if err != nil {
		return err
	}
	report := b.report()
	var dir *run.Dir
	var state *run.State
	if b.o.epochs > 0 {
		if dir, state, err = b.openRun(); err != nil {
			return err
		}
		defer dir.Close()
		report.Run, report.Model, report.byEM = dir.Path, b.target.Config.Model, b.target == b.grid
		report.Frozen = train.SettingsOf[train.VAESettings](b.target.Config).Freeze != ""
	}
	if report.Before, err = b.assess(ctx, "before", b.encoded); err == nil && dir != nil {
		if err = b.cross(ctx, dir, state); err == nil {
			report.After, err = b.assess(ctx, "after", true)
		}
	}
	if dir != nil && (errors.Is(err, context.Canceled) || errors.Is(err, train.ErrInterrupted)) {
		p.say("interrupted; the same command with --out %s goes on, and ends with the figures before and after", run.ShellPath(dir.Path))
	}
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.stdout, report)
	}
	report.write(p.stdout)
	if dir != nil {
		path := run.ShellPath(dir.Path)
		p.say("next:  %s eval %s%s", p.name, path, scoredSplit(b.target))
		if _, err := train.ReadRun(o.run); err == nil { // compare takes whole runs
			settle := ""
			if train.BinarisedAs(b.source.Config) != train.BinarisedAs(b.target.Config) {
				settle = " --binarise static"
			}
			p.say("       %s compare %s %s%s%s", p.name, run.ShellPath(o.run), path, settle, scoredSplit(b.target))
		}
		if b.target == b.vae {
			p.say("       %s gap %s%s", p.name, path, scoredSplit(b.target))
		}
		p.say("       %s resume %s --epochs %d", p.name, path, 2*b.o.epochs)
	}
	return nil
}

// openRun makes the run directory of the target, or opens the one that the same command
// made before it was interrupted.
func (b *bridge) openRun() (*run.Dir, *run.State, error) {
	dir, err := createRun(b.o.out, b.target.Config)
	if !errors.Is(err, run.ErrRunExists) {
		return dir, nil, err
	}
	begun, openErr := train.OpenRun(b.o.out)
	if openErr != nil {
		return nil, nil, openErr
	}
	if c, configErr := runConfig(begun); configErr != nil || string(c.JSON()) != string(b.target.Config.JSON()) {
		begun.Close()
		return nil, nil, err
	}
	state, _, _ := begun.Latest()
	b.p.say("going on with %s", begun.Path)
	return begun, state, b.p.sayMetricsGoOn(begun, state)
}

// sayIfInTraining tells that a run is still being written to. It is no obstacle: what is
// used is a checkpoint.
func (p *program) sayIfInTraining(path string) {
	dir, err := train.OpenRun(path)
	if errors.Is(err, run.ErrRunInUse) {
		p.say("%s is still in training: this is its model so far", path)
	}
	if err == nil {
		dir.Close()
	}
}

// newBridge checks what is asked for, and makes the model that is not there yet.
func (p *program) newBridge(t *trained, o swapOptions) (*bridge, error) {
	c, network := t.Config, t.Config.Network()
	table := c.HasTable()
	switch {
	case network.Latent == 0:
		return nil, usagef("%s is a %s: it has no decoder to give another inference to; a grid (elbo train --model grid) and a vae have one", o.run, c.Model)
	case network.Stochastic.Several():
		return nil, usagef("%s has %d stochastic layers, and a grid has one: its points would be of z%[2]d, from which the decoder does not read; `%s gap %s` compares the encoder with each image's own posterior", o.run, len(network.Stochastic.Latent), p.name, run.ShellPath(o.run))
	case network.Latent > infer.MaxExactLatent:
		return nil, usagef("%s has %d latent dimensions, too many for a grid, whose points grow like n^%[2]d: want 1 to %d; `%s gap %s` compares the encoder with each image's own posterior", o.run, network.Latent, infer.MaxExactLatent, p.name, run.ShellPath(o.run))
	case table && (o.grid != nil || o.ruleGiven):
		return nil, usagef("--grid and --grid-rule are for the decoder of a vae: %s is a grid already", o.run)
	case !table && o.unfreeze:
		return nil, usagef("--unfreeze is for the decoder of a grid: %s is a vae, and EM trains its decoder in any case", o.run)
	}
	b := &bridge{p: p, o: o, source: t}
	var err error
	if !table {
		b.defaultEpochs(swapIterations)
		if b.o.grid == nil {
			b.o.grid = swapGrids[network.Latent]
		}
		b.vae, b.encoded = t.Setup, true
		twin := c.GridTwin(b.o.grid, o.rule)
		twin.Settings.(*train.GridSettings).InitFrom = t.Path
		b.grid, err = b.twin(twin)
		b.target = b.grid
	} else {
		b.defaultEpochs(swapEpochs)
		twin := c.VAETwin()
		encoder := twin.Settings.(*train.VAESettings)
		encoder.InitFrom = t.Path
		if !o.unfreeze {
			encoder.Freeze = model.DecoderPart
		}
		b.grid = t.Setup
		b.vae, err = b.twin(twin)
		b.target = b.vae
	}
	if err != nil {
		return nil, err
	}
	// A fixed draw of pixels is that of evaluation: both models see the same images.
	b.view, err = (&trained{Setup: b.grid}).view(o.split, o.limit)
	return b, err
}

func (b *bridge) defaultEpochs(n int) {
	if !b.o.epochsGiven {
		b.o.epochs = n
	}
}

// twin sets up the other model, with the decoder of the source.
func (b *bridge) twin(c train.Config) (*train.Setup, error) {
	c.Epochs = max(1, b.o.epochs)
	s, err := b.p.setup(c)
	if err != nil {
		return nil, err
	}
	return s, s.WarmStart()
}

// assess measures the decoder of the target under both inferences.
func (b *bridge) assess(ctx context.Context, when string, encoder bool) (*infer.Inferences, error) {
	bar := newBar(b.p)
	defer bar.done()
	return infer.CompareInferences(ctx, b.grid.Model.(train.Tabular).Table(), b.vae.Model.(train.Amortised).VAE(), encoder, b.view, infer.GapOptions{Samples: b.o.samples, Seed: b.source.Config.Seed, LocalQ: infer.DefaultLocalQ()},
		func(what string, n int) { bar.at(when+", "+what, n, b.view.N()) })
}

// cross trains the target, from a state or from the start, and gives the other model the decoder that comes out.
func (b *bridge) cross(ctx context.Context, dir *run.Dir, from *run.State) error {
	p, s := b.p, b.target
	p.say("training in %s, from %s", dir.Path, b.source.Path)
	p.sayWhat(s)
	result, err := p.fit(ctx, s, dir, from)
	if err != nil {
		return err
	}
	if result.Status == train.Converged {
		p.say("converged after %s: the last gained less than %g nats per image", count(result.Step, "iteration"), s.Config.Table().Tolerance)
	}
	if result.Best != nil {
		best, _, err := dir.Best()
		if err != nil {
			return err
		}
		if err := s.Load(best); err != nil {
			return err
		}
	}
	if err := p.draw(s, dir); err != nil {
		return err
	}
	if s == b.grid {
		return b.vae.TakeDecoder(b.grid)
	}
	return b.grid.TakeDecoder(b.vae)
}

func (b *bridge) report() *swapReport {
	grid := train.SettingsOf[train.GridSettings](b.grid.Config)
	return &swapReport{
		From: b.source.Path, prior: b.vae.Model.(train.Amortised).Joint().Prior.String(), Grid: grid.Grid, GridRule: string(grid.GridRule), OwnPrior: grid.Prior != model.Fixed,
		Data: b.source.Dataset.Name, DataSHA256: b.source.Dataset.SHA256, Split: b.o.split, Binarise: string(b.view.Mode), PixelsSHA256: b.view.Hash(),
		Draws: b.o.samples, Seed: b.source.Config.Seed,
	}
}

// write prints the figures before and after, side by side.
func (r *swapReport) write(w io.Writer) {
	table := newTable(w, tabwriter.AlignRight)
	columns := []*infer.Inferences{r.Before}
	head := fmt.Sprintf("%s, nats per image\tthe decoder of %s\t", r.Split, r.From)
	if r.After != nil {
		columns = append(columns, r.After)
		head += map[bool]string{true: "after EM", false: "after training"}[r.byEM] + "\t"
		if r.Frozen {
			head = fmt.Sprintf("%s, nats per image\tthe decoder of %s\twith an encoder\t", r.Split, r.From)
		}
	}
	fmt.Fprintln(table, head)
	row := func(name string, of func(*infer.Inferences) *infer.Estimate) {
		fmt.Fprintf(table, "%s\t", name)
		for _, column := range columns {
			if e := of(column); e != nil {
				fmt.Fprintf(table, "%.3f ± %.3f\t", e.Value, e.SE)
			} else {
				fmt.Fprint(table, "-\t")
			}
		}
		fmt.Fprintln(table)
	}
	logP := func(l infer.LogP) *infer.Estimate { return &infer.Estimate{Value: l.Value, SE: l.SE} }
	row("log p(x), prior "+r.prior, func(i *infer.Inferences) *infer.Estimate { return logP(i.LogP) })
	row(fmt.Sprintf("log p(x), table of %s points", joined(r.Grid, "x")), func(i *infer.Inferences) *infer.Estimate { return logP(i.Table) })
	row("L[q*], the best q of each image", func(i *infer.Inferences) *infer.Estimate { return &i.ELBOStar })
	row("L[q], the encoder", func(i *infer.Inferences) *infer.Estimate { return i.ELBO })
	table.Flush()
	if r.byEM {
		fmt.Fprintln(w, "after EM, the encoder is still the one that was trained with the old decoder")
	}
	weights := "weights of N(0, I)"
	if r.OwnPrior {
		weights = "weights that the data chose"
	}
	fmt.Fprintf(w, "table: %s, %s: another model, which may be above or below the first line; exact\n", r.GridRule, weights)
	fmt.Fprintf(w, "%s: %s, mean error %.1g nats\n", r.prior, r.Before.LogP.Method, r.Before.LogP.Error)
	for _, column := range columns {
		if column.LogP.Missed > 0 {
			fmt.Fprintf(w, missedNote, count(column.LogP.Missed, r.Split+" image"), 2*r.Draws)
		}
	}
	fmt.Fprintf(w, "%s of %s (SHA-256 %.12s…), binarise %s; %s of z an image (seed %d)\n", count(r.Before.Images, "image"), r.Data, r.DataSHA256, r.Binarise, count(r.Draws, "draw"), r.Seed)
	if r.Run != "" {
		fmt.Fprintf(w, "run    %s\n", r.Run)
	}
}
