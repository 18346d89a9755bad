package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/picture"
	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

type gapOptions struct {
	run, checkpoint, data string
	split                 string
	limit, samples        int
	seed                  uint64
	seedGiven             bool
	families              []string // of which q* are held against those of diagonal Gaussians
	out                   string   // "": the run directory
	json                  bool
}

// The files that elbo gap writes.
const (
	gapTableFile   = "gap.csv"
	gapPictureFile = "gap.png"
	worstImages    = 12 // of gap.png, in a row
)

func newGapCmd(p *program) *cobra.Command {
	var o gapOptions
	cmd := &cobra.Command{
		Use:   "gap RUN|CHECKPOINT",
		Short: "Where a VAE's ELBO loses: its family of posteriors, or its encoder",
		Long: `Split the gap between log p(x) and the ELBO of a VAE in two, image by image:

  log p(x) - L[q]  =  log p(x) - L[q*]  +  L[q*] - L[q]
     inference          approximation       amortisation

q is the encoder's member of the run's family of posteriors (--posterior), q* the best
one for that image alone, found by gradient ascent from the encoder's output. The
approximation gap is what no member of the family can do; the amortisation gap is what
the encoder has not learned, and is usually larger on images that it was not trained on.
Their sum is KL(q ‖ p(z|x)).

--families diagonal,full searches q* among Gaussians of both kinds as well, by the same
draws, and says how much of the approximation gap of diagonal ones the others close;
flow is for a run whose posterior is one, as its nets come with its encoder.

With up to 3 latent dimensions log p(x) is exact, by quadrature; with more it is an
importance-weighted lower bound, and so the approximation gap is one as well.

Writes ` + gapTableFile + `, a row for each image, and ` + gapPictureFile + `, the images with the largest
gaps above what the decoder makes of them under q and under q*.`,
		Example: "  elbo gap runs/vae-001\n  elbo gap runs/vae-001 --families diagonal,full\n  elbo gap runs/vae-001 --limit 1000 --samples 2000 --json",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.seedGiven = args[0], cmd.Flags().Changed("seed")
			if o.samples < 1 {
				return usagef("samples is %d, want at least 1", o.samples)
			}
			if o.limit < 0 {
				return usagef("limit is %d, want 0 (all) or more", o.limit)
			}
			return runGap(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.split, "split", "", "images to look at: test, train, validation, all or both (default: both, test and train; of --data that the run was not trained on, all)")
	cmd.Flags().IntVar(&o.limit, "limit", 200, "only the first N images of each split (0: all)")
	cmd.Flags().IntVar(&o.samples, "samples", 500, "draws of z for each image, from q and from q* each")
	cmd.Flags().Uint64Var(&o.seed, "seed", 0, "seed of the draws of z (default: the run's)")
	cmd.Flags().StringSliceVar(&o.families, "families", nil, "families in which q* is searched for besides, and held against each other: diagonal, full, flow (of a run that has one)")
	cmd.Flags().StringVar(&o.out, "out", "", "directory for the files (default: the run's)")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// gapReport is the gap on some splits with all that its figures depend on.
type gapReport struct {
	Splits     map[string]*gapSplit `json:"splits"`
	Data       string               `json:"data"`
	DataSHA256 string               `json:"data_sha256"`
	Binarise   string               `json:"binarise"`
	Likelihood string               `json:"likelihood"`
	Seed       uint64               `json:"seed"` // of the draws of z
	Checkpoint string               `json:"checkpoint"`

	names []string // of the splits, in the order of the table
}

type gapSplit struct {
	infer.Gap
	PixelsSHA256 string `json:"pixels_sha256"`

	view data.View
}

func runGap(ctx context.Context, p *program, o gapOptions) error {
	ctx, err := p.join(ctx)
	if err != nil {
		return err
	}
	if err := p.onFirst(func() error {
		if info, err := os.Stat(o.run); o.out == "" && err == nil && !info.IsDir() {
			return usagef("%s is a checkpoint: name a directory for %s with --out", o.run, gapTableFile)
		}
		return nil
	}); err != nil {
		return err
	}
	if o.out == "" {
		o.out = o.run
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	var g *gapReport
	var families []infer.Family
	if err == nil {
		g, families, err = p.newGap(t, &o)
	}
	if err := p.agree(err, t.setup()); err != nil {
		return err
	}
	vae := t.Model.(train.Amortised).VAE()
	for _, split := range g.names {
		v := g.Splits[split].view
		bar, own := newBar(p), ownShare(t.Reducer, v.N())
		gap, err := infer.MeasureGap(ctx, vae, v, infer.GapOptions{
			Samples: o.samples, Seed: o.seed, Exact: t.Config.Network().Latent <= infer.MaxExactLatent, LocalQ: infer.DefaultLocalQ(), Families: families, Peers: t.Reducer,
		}, func(what string, n int) { bar.at(split+", "+what, n, own) })
		bar.done()
		if err != nil {
			return err
		}
		g.Splits[split].Gap = *gap
	}
	if !p.first() {
		return nil
	}
	if err := g.writeFiles(t.Setup, o.out); err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.stdout, g)
	}
	g.write(p.stdout, t)
	p.say("wrote %s and %s", filepath.Join(o.out, gapTableFile), filepath.Join(o.out, gapPictureFile))
	return nil
}

// newGap is a report of a model with the images of its splits, after it has checked what was
// asked, and the families to be held against each other. Of o it settles the seed and the split.
func (p *program) newGap(t *trained, o *gapOptions) (*gapReport, []infer.Family, error) {
	encoded, ok := t.Model.(train.Amortised)
	if !ok {
		hint := "has no such gap: it has no encoder, and its posterior is exact"
		if t.Config.Network().Latent > 0 {
			hint += fmt.Sprintf("; `%s swap %s` gives its decoder an encoder", p.name, run.ShellPath(o.run))
		}
		return nil, nil, usagef("%s is a %s, which %s", o.run, t.Config.Model, hint)
	}
	if !o.seedGiven {
		o.seed = t.Config.Seed
	}
	g := &gapReport{Splits: map[string]*gapSplit{}, Data: t.Dataset.Name, DataSHA256: t.Dataset.SHA256, Binarise: string(t.Config.Binarise),
		Likelihood: string(t.Config.Likelihood), Seed: o.seed, Checkpoint: t.Path}
	if o.split == "" {
		o.split = "both"
		if t.other {
			o.split = t.chosenSplit("")
		}
	}
	var err error
	if g.names, err = t.gapSplits(o.split); err != nil {
		return nil, nil, err
	}
	for _, split := range g.names {
		v, err := t.view(split, o.limit)
		if err != nil {
			return nil, nil, err
		}
		g.Splits[split] = &gapSplit{PixelsSHA256: v.Hash(), view: v}
	}
	if len(o.families) == 0 {
		return g, nil, nil
	}
	var names []model.PosteriorName
	for _, name := range o.families {
		names = append(names, model.PosteriorName(name))
	}
	families, err := infer.GapFamilies(encoded.VAE(), names)
	if err != nil {
		return nil, nil, usagef("--families: %w", err)
	}
	return g, families, nil
}

// missedNote tells of posteriors outside the quadrature's box: how many, of which images,
// and the k that stands in.
const missedNote = "the quadrature misses the posterior of %s: L_%d, a lower bound, is used for log p(x) instead; longer training brings codes nearer to p(z)\n"

// gapSplits are the splits that a word stands for: for both, of those that have images.
func (t *trained) gapSplits(word string) ([]string, error) {
	if word != "both" {
		if word != "test" && word != "train" && word != "validation" && word != "all" {
			return nil, usagef("unknown split %q, want test, train, validation, all or both", word)
		}
		return []string{word}, nil
	}
	if t.Test.N() > 0 {
		return []string{"test", "train"}, nil
	}
	return []string{"train"}, nil
}

// write prints the table, the splits side by side.
func (g *gapReport) write(w io.Writer, t *trained) {
	table := newTable(w, tabwriter.AlignRight)
	line := func(name string, cell func(s *gapSplit) string) {
		fmt.Fprintf(table, "%s\t", name)
		for _, split := range g.names {
			fmt.Fprintf(table, "%s\t", cell(g.Splits[split]))
		}
		fmt.Fprintln(table)
	}
	row := func(name string, of func(s *gapSplit) infer.Estimate) {
		line(name, func(s *gapSplit) string {
			e := of(s)
			return fmt.Sprintf("%.3f ± %.3f", e.Value, e.SE)
		})
	}
	first := g.Splits[g.names[0]]
	bound, atLeast, atMost := "log p(x)", "", ""
	if slices.ContainsFunc(g.names, func(split string) bool { return g.Splits[split].LowerBound }) {
		bound, atLeast, atMost = "log p(x) ≥", " ≥", " ≤"
	}
	fmt.Fprint(table, "nats per image\t")
	for _, split := range g.names {
		fmt.Fprintf(table, "%s\t", split)
	}
	fmt.Fprintln(table)
	row(bound, func(s *gapSplit) infer.Estimate { return infer.Estimate{Value: s.LogP.Value, SE: s.LogP.SE} })
	row("L[q*]", func(s *gapSplit) infer.Estimate { return s.ELBOStar })
	row("L[q]", func(s *gapSplit) infer.Estimate { return s.ELBO })
	row("approximation gap"+atLeast, func(s *gapSplit) infer.Estimate { return s.Approximation })
	row("amortisation gap", func(s *gapSplit) infer.Estimate { return s.Amortisation })
	row("inference gap"+atLeast, func(s *gapSplit) infer.Estimate { return s.Inference })
	for i, f := range first.Families {
		row("L[q*], "+string(f.Family), func(s *gapSplit) infer.Estimate { return s.Families[i].ELBOStar })
		if i > 0 {
			row("above "+string(first.Families[0].Family), func(s *gapSplit) infer.Estimate { return s.Families[i].Gain })
			line("of its gap"+atMost, func(s *gapSplit) string {
				if s.Families[i].Closed == nil {
					return "no clear gap"
				}
				return fmt.Sprintf("%.0f %%", 100**s.Families[i].Closed)
			})
		}
	}
	line("images", func(s *gapSplit) string { return strconv.Itoa(s.Images) })
	table.Flush()
	if !model.LikelihoodName(g.Likelihood).IsLikelihood() {
		fmt.Fprintf(w, "%s is no likelihood: there is no log p(x), and these are bounds and gaps of the cross-entropy\n", g.Likelihood)
	}
	fmt.Fprintf(w, "log p(x): %s; mean error of an image", first.LogP.Method)
	for i, split := range g.names {
		fmt.Fprintf(w, "%s %.2g nats (%s)", []string{"", ","}[min(i, 1)], g.Splits[split].LogP.Error, split)
	}
	fmt.Fprintln(w)
	for _, split := range g.names {
		if n := g.Splits[split].LogP.Missed; n > 0 {
			fmt.Fprintf(w, missedNote, count(n, split+" image"), 2*first.Draws)
		}
	}
	fmt.Fprintf(w, "%s (SHA-256 %.12s…), %s, binarise %s; %s of z an image from q and from q* (seed %d); %s\n", g.Data, g.DataSHA256, g.Likelihood, g.Binarise, count(first.Draws, "draw"), g.Seed, describeModel(t.Setup))
}

// writeFiles writes the table and the picture.
func (g *gapReport) writeFiles(s *train.Setup, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return usagef("%s: cannot make the directory: %w: choose another --out", dir, err)
	}
	if err := run.WriteAtomic(filepath.Join(dir, gapTableFile), g.writeCSV); err != nil {
		return err
	}
	panels := []image.Image{picture.Heading(describeModel(s) + ", on " + g.Data)}
	for _, split := range g.names {
		for _, gap := range []struct {
			name string
			of   func(infer.GapScore) float64
		}{{"amortisation gaps, L[q*] − L[q]", infer.GapScore.Amortisation}, {"approximation gaps, log p(x) − L[q*]", infer.GapScore.Approximation}} {
			panel, err := g.Splits[split].drawWorst(s, fmt.Sprintf("%s: the largest %s in nats, and the images' numbers", split, gap.name), gap.of)
			if err != nil {
				return err
			}
			panels = append(panels, panel)
		}
	}
	return writePicture(filepath.Join(dir, gapPictureFile), picture.Stack(panels...))
}

// writeCSV writes a row for each image. A label that is not known is left empty.
func (g *gapReport) writeCSV(w io.Writer) error {
	table := csv.NewWriter(w)
	table.Write([]string{"split", "image", "label", "log_p", "error", "elbo", "elbo_star", "approximation", "amortisation"})
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 9, 64) }
	for _, split := range g.names {
		s := g.Splits[split]
		for i, score := range s.PerImage {
			label := ""
			if l, ok := s.view.Label(i); ok {
				label = strconv.Itoa(int(l))
			}
			table.Write([]string{split, strconv.Itoa(score.Image), label, number(score.LogP), number(score.Error),
				number(score.ELBO), number(score.ELBOStar), number(score.Approximation()), number(score.Amortisation())})
		}
	}
	table.Flush()
	return table.Error()
}

// drawWorst draws the images with the largest gap, above the decoded means of q and q*.
func (g *gapSplit) drawWorst(s *train.Setup, title string, gap func(infer.GapScore) float64) (image.Image, error) {
	worst := make([]int, len(g.PerImage))
	for i := range worst {
		worst[i] = i
	}
	slices.SortStableFunc(worst, func(a, b int) int { return cmp.Compare(gap(g.PerImage[b]), gap(g.PerImage[a])) })
	worst = worst[:min(len(worst), worstImages)]
	d := g.view.D()
	vae := s.Model.(train.Amortised).VAE()
	width, _ := vae.Q.Posterior.Sizes()
	originals := make([]float32, len(worst)*d)
	var under, underStar []float32
	var nats, numbers []string
	for n, i := range worst {
		g.view.Pixels(originals[n*d:][:d], i, 0)
		under = append(under, g.H[i*width:][:width]...)
		underStar = append(underStar, g.HStar[i*width:][:width]...)
		nats = append(nats, fmt.Sprintf("%.2f", gap(g.PerImage[i])))
		numbers = append(numbers, fmt.Sprintf("no. %d", g.PerImage[i].Image))
	}
	images := [][]float32{originals}
	for _, h := range [][]float32{under, underStar} {
		codes, err := vae.Codes(h)
		if err != nil {
			return nil, err
		}
		means, err := s.Decode(codes)
		if err != nil {
			return nil, err
		}
		images = append(images, means)
	}
	return picture.Rows(title, []string{"original", "under q", "under q*"}, images, s.Dataset.Rows(), s.Dataset.Cols(), s.Dataset.Channels(), nats, numbers), nil
}
