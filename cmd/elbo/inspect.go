package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

type inspectOptions struct {
	path, checkpoint string
	graph, json      bool
}

func newInspectCmd(p *program) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect RUN|CHECKPOINT",
		Short: "What a checkpoint holds: header, tensors, hashes, numerics, graph",
		Long: `Print what a checkpoint holds, after checking all of it: step and epoch, the best
bound, the configuration, what the numbers were computed with, and every tensor with
its shape and SHA-256; of a run also which lines of its metrics are damaged or
missing. With --graph, print the graph of a training step instead, in
Graphviz' language.`,
		Example: "  elbo inspect runs/vae-001\n  elbo inspect runs/vae-001 --graph | dot -Tsvg > graph.svg",
		Args:    oneRun,
		RunE: func(_ *cobra.Command, args []string) error {
			o.path = args[0]
			return runInspect(p, o)
		},
	}
	cmd.Flags().StringVar(&o.checkpoint, "checkpoint", "last", "of a run: best, last or a checkpoint's file")
	cmd.Flags().BoolVar(&o.graph, "graph", false, "print the graph of a training step as DOT")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

func runInspect(p *program, o inspectOptions) error {
	if o.graph {
		t, err := p.openTrained(o.path, o.checkpoint, "")
		if err != nil {
			return err
		}
		dot, err := t.dot()
		if err != nil {
			return err
		}
		_, err = io.WriteString(p.stdout, dot)
		return err
	}
	state, path, passed, err := p.loadState(o.path, o.checkpoint)
	if err != nil {
		return err
	}
	p.sayPassedOver(passed)
	in := inspect(state, path)
	if dir, err := train.ReadRun(o.path); err == nil { // a file has no metrics beside it
		if o.checkpoint != "best" && o.checkpoint != "last" {
			state = nil // perhaps of another run
		}
		if _, err := p.sayMetrics(dir, state); err != nil {
			return err
		}
	}
	if o.json {
		return writeJSON(p.stdout, in)
	}
	in.write(p.stdout)
	return nil
}

// dot draws the graph of a training step; of a model with a table, its E-graph.
func (t *trained) dot() (string, error) {
	if m, ok := t.Model.(train.Tabular); ok {
		e, err := m.Table().NewEStep(min(100, t.Train.N()), true, t.Config.Table().Prior == model.PerImage)
		if err != nil {
			return "", err
		}
		return e.DOT(), nil
	}
	vae := t.Model.(train.Amortised).VAE()
	if err := vae.CompileStep(train.SettingsOf[train.VAESettings](t.Config).Batch); err != nil {
		return "", err
	}
	return vae.StepDOT(), nil
}

// inspection is what inspect --json prints.
type inspection struct {
	File     string          `json:"file"`
	SHA256   string          `json:"sha256"`
	Format   int             `json:"format"`
	Step     int64           `json:"step"`
	Epoch    int             `json:"epoch"`
	Position int             `json:"position"`
	Best     *run.Best       `json:"best,omitempty"`
	Data     string          `json:"data_sha256"`
	Config   json.RawMessage `json:"config"`
	Numerics json.RawMessage `json:"numerics"`
	Tensors  []tensorInfo    `json:"tensors"`
}

type tensorInfo struct {
	Name   string `json:"name"`
	Shape  []int  `json:"shape"`
	SHA256 string `json:"sha256"` // of the values, little-endian float32
}

func inspect(s *run.State, path string) *inspection {
	in := &inspection{
		File: path, SHA256: s.FileSHA256, Format: run.FormatVersion,
		Step: s.Step, Epoch: s.Epoch, Position: s.Position, Best: s.Best,
		Data: s.Data, Config: s.Config, Numerics: s.Numerics,
	}
	for _, t := range slices.Concat(s.Params, s.Tables, s.Moments) {
		in.Tensors = append(in.Tensors, tensorInfo{t.Name, t.Shape, valuesSHA256(t.Data)})
	}
	return in
}

func valuesSHA256(values []float32) string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, values) // a hash never fails to take bytes
	return hex.EncodeToString(h.Sum(nil))
}

func (in *inspection) write(w io.Writer) {
	fmt.Fprintf(w, "%s\nSHA-256 %s\nformat %d, step %d, next: epoch %d after %d images\n", in.File, in.SHA256, in.Format, in.Step, in.Epoch, in.Position)
	if in.Best != nil {
		fmt.Fprintf(w, "best validation bound %.4f nats/image, epoch %d, step %d\n", in.Best.Bound, in.Best.Epoch, in.Best.Step)
	}
	fmt.Fprintf(w, "data SHA-256 %s\nnumerics %s\nconfig %s\n", in.Data, in.Numerics, in.Config)
	t := newTable(w, 0)
	fmt.Fprintf(t, "tensor\tshape\tSHA-256\n")
	for _, tensor := range in.Tensors {
		fmt.Fprintf(t, "%s\t%v\t%.16s…\n", tensor.Name, tensor.Shape, tensor.SHA256)
	}
	t.Flush()
}
