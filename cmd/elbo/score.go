package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// scoresFile is what elbo score writes in the run directory, unless told otherwise.
const scoresFile = "scores.csv"

type scoreOptions struct {
	evalOptions
	against string // a second data set, "" for none
	out     string // "": in the run directory
}

func newScoreCmd(p *program) *cobra.Command {
	var o scoreOptions
	cmd := &cobra.Command{
		Use:   "score RUN|CHECKPOINT",
		Short: "log p(x) and its bounds image by image; two sets told apart",
		Long: `Score each image of a split and write a CSV with a row for each, in the order of the
data: its name, label, reconstruction, KL, ELBO, L_k with k-hat, and the best that is
known of log p(x), with how it is known: a sum over the states of a table, quadrature
(--exact, up to 3 latent dimensions), an estimate by annealing (--ais), or L_k, which is
a lower bound.

With --against the images of a second set are scored as well, and the area under the
ROC curve (AUROC) of log p(x) says how well it tells the two sets apart: the probability
that an image of the first has the higher one. Likelihood alone is a poor judge of what
is foreign: images of another kind may well be likelier than the model's own.`,
		Example: "  elbo score runs/vae-001 --out scores.csv\n  elbo score runs/vae-001 --samples 1000 --against fashion --limit 1000",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.seedGiven, o.samplesGiven = args[0], cmd.Flags().Changed("seed"), cmd.Flags().Changed("samples")
			if o.samples < 1 {
				return usagef("samples is %d, want at least 1", o.samples)
			}
			if o.limit < 0 {
				return usagef("limit is %d, want 0 (all) or more", o.limit)
			}
			if err := o.ais.check(cmd); err != nil {
				return err
			}
			return runScore(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.split, "split", "", "images to score: "+splitUsage)
	cmd.Flags().IntVar(&o.limit, "limit", 0, "only the first N images of the split (0: all)")
	cmd.Flags().StringVar(&o.against, "against", "", "a second data set, whose images are told apart from those of the first by log p(x)")
	cmd.Flags().IntVar(&o.samples, "samples", 100, "draws of z for each image: the k of L_k")
	cmd.Flags().Uint64Var(&o.seed, "seed", 0, "seed of the draws of z and of the chains of --ais (default: the run's)")
	cmd.Flags().BoolVar(&o.exact, "exact", false, "log p(x) by quadrature over the latent space, 1 to 3 dimensions, with its error")
	o.ais.add(cmd)
	addModelFlags(cmd, &o.checkpoint, &o.data)
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .csv (default: RUN/"+scoresFile+")")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// scoreReport is the scores of one set of images or of two, with how they compare.
type scoreReport struct {
	Evaluation evalReport   `json:"evaluation"`
	Against    *evalReport  `json:"against,omitempty"`
	AUROC      *aurocReport `json:"auroc,omitempty"`
	Out        string       `json:"out"`

	sets []scoredSet
}

// scoredSet is a set of images with their scores.
type scoredSet struct {
	view   data.View
	report *evalReport
}

// aurocReport is how well a score tells the images of the first set from those of the
// second.
type aurocReport struct {
	infer.AUROC
	Score  string `json:"score"`  // how it is known, of both sets
	Method string `json:"method"` // in words
}

func runScore(ctx context.Context, p *program, o scoreOptions) error {
	ctx, err := p.join(ctx)
	if err != nil {
		return err
	}
	if err := p.onFirst(func() (err error) {
		o.out, err = outFileOf(o.run, o.out, scoresFile, "file", ".csv")
		return err
	}); err != nil {
		return err
	}
	r := &scoreReport{Out: o.out}
	own, err := r.score(ctx, p, o, o.data)
	if err != nil {
		return err
	}
	r.Evaluation = *own
	if o.against != "" {
		if r.Against, err = r.score(ctx, p, o, o.against); err != nil {
			return err
		}
		if r.AUROC, err = compareScores(own, r.Against); err != nil {
			return err
		}
	}
	if !p.first() {
		return nil
	}
	if err := run.WriteAtomic(o.out, r.writeCSV); err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.stdout, r)
	}
	r.write(p.stdout)
	p.say("wrote %s", o.out)
	return nil
}

// score scores the images of one set.
func (r *scoreReport) score(ctx context.Context, p *program, o scoreOptions, dataPath string) (*evalReport, error) {
	o.data = dataPath
	t, v, err := p.openScored(&o.evalOptions)
	if err := p.agree(err, t.setup()); err != nil {
		return nil, err
	}
	e, err := p.scoreAll(ctx, t, v, o.evalOptions)
	if err != nil {
		return nil, err
	}
	r.sets = append(r.sets, scoredSet{v, e})
	return e, nil
}

// compareScores tells two sets apart by the best that is known of log p(x), which is the
// same for both.
func compareScores(a, b *evalReport) (*aurocReport, error) {
	scores := func(e *evalReport) []float64 {
		all := make([]float64, len(e.PerImage))
		for i := range all {
			all[i] = e.EvidenceOf(i)
		}
		return all
	}
	area, err := infer.NewAUROC(scores(a), scores(b))
	if err != nil {
		return nil, err
	}
	known := a.Evidence()
	if other := b.Evidence(); other.How == infer.LowerBound { // where one set has it, that is what can be said
		known = other
	}
	return &aurocReport{AUROC: area, Score: known.How, Method: known.Method}, nil
}

// write prints the tables of bounds, and how the two sets compare.
func (r *scoreReport) write(w io.Writer) {
	for i, set := range r.sets {
		if i > 0 {
			fmt.Fprintln(w)
		}
		set.report.write(w)
		if set.report.Table == nil {
			set.report.writeExact(w)
			set.report.writeTrust(w)
		}
	}
	if r.AUROC == nil {
		return
	}
	a, what := r.AUROC, "log p(x)"
	if !model.LikelihoodName(r.Evaluation.Likelihood).IsLikelihood() {
		what = "minus the cross-entropy"
	}
	fmt.Fprintf(w, "\nAUROC of %s: %.4f, 95 %% interval %.4f to %.4f (DeLong): the probability that an image of %s has a higher one than an image of %s\n",
		what, a.Value, a.CI95[0], a.CI95[1], r.Evaluation.Data, r.Against.Data)
	fmt.Fprintf(w, "scored by: %s, of both sets (%s)\n", a.Method, a.Score)
	if a.CI95[1] < 0.5 {
		fmt.Fprintf(w, "the images of %s are likelier under the model than those of %s\n", r.Against.Data, r.Evaluation.Data)
	}
	fmt.Fprintln(w, "warning: likelihood alone is a poor judge of what is foreign: simple images of another kind are often likelier than the model's own (Nalisnick et al. 2019)")
}

// writeCSV writes a row for each image. What is not known is left empty.
func (r *scoreReport) writeCSV(w io.Writer) error {
	table := csv.NewWriter(w)
	table.Write([]string{"data", "image", "label", "recon", "kl", "elbo", "l_k", "ess", "k_hat", "log_p", "log_p_how", "log_p_error", "bits_per_dim"})
	number := func(x float64) string {
		if math.IsNaN(x) {
			return ""
		}
		return strconv.FormatFloat(x, 'g', 9, 64)
	}
	for _, set := range r.sets {
		e := set.report
		for i, s := range e.PerImage {
			row := []string{e.Data, set.view.Name(i), set.view.Class(i), number(s.Recon), number(s.KL), number(s.ELBO), "", "", "", "", "", "", ""}
			if e.IW != nil {
				row[6], row[7], row[8] = number(s.IW), number(s.ESS), number(s.KHat)
			}
			if model.LikelihoodName(e.Likelihood).IsLikelihood() {
				row[9], row[10] = number(e.EvidenceOf(i)), e.HowOf(i)
				if e.LogP != nil {
					row[11] = number(s.Error)
				}
				row[12] = number(model.BitsPerDim(e.EvidenceOf(i), e.pixels))
			}
			table.Write(row)
		}
	}
	table.Flush()
	return table.Error()
}
