package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/bench"
	"elbo/cmd/elbo/internal/report"
	"elbo/cmd/elbo/internal/verify"
	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// formats are the objects that the program writes as JSON, under the headings that they
// have in formats.md.
var formats = map[string]reflect.Type{
	"metrics.jsonl":                reflect.TypeFor[run.Metrics](),
	"Terms":                        reflect.TypeFor[run.EpochTerms](),
	"Terms of EM":                  reflect.TypeFor[run.EMTerms](),
	"restarts.json":                reflect.TypeFor[train.Restarted](),
	"elbo.m_step":                  reflect.TypeFor[run.MStep](),
	"elbo train --json":            reflect.TypeFor[trainReport](),
	"elbo eval --json":             reflect.TypeFor[evalReport](),
	"rate":                         reflect.TypeFor[infer.Rate](),
	"iw":                           reflect.TypeFor[infer.IW](),
	"log_p":                        reflect.TypeFor[infer.LogP](),
	"gap":                          reflect.TypeFor[infer.PosteriorGap](),
	"table":                        reflect.TypeFor[infer.Table](),
	"clusters":                     reflect.TypeFor[infer.Clusters](),
	"ais":                          reflect.TypeFor[infer.AIS](),
	"simulated":                    reflect.TypeFor[infer.Sandwich](),
	"elbo gap --json":              reflect.TypeFor[gapReport](),
	"Figures of a split":           reflect.TypeFor[gapSplit](),
	"A family":                     reflect.TypeFor[infer.FamilyGap](),
	"elbo score --json":            reflect.TypeFor[scoreReport](),
	"auroc":                        reflect.TypeFor[aurocReport](),
	"elbo swap --json":             reflect.TypeFor[swapReport](),
	"Figures of a decoder":         reflect.TypeFor[infer.Inferences](),
	"elbo inspect --json":          reflect.TypeFor[inspection](),
	"best":                         reflect.TypeFor[run.Best](),
	"A tensor":                     reflect.TypeFor[tensorInfo](),
	"elbo verify --json":           reflect.TypeFor[verified](),
	"A check":                      reflect.TypeFor[verify.Check](),
	"elbo bench --json":            reflect.TypeFor[benchReport](),
	"A row":                        reflect.TypeFor[bench.Row](),
	"elbo version --json":          reflect.TypeFor[versioned](),
	"elbo list --json":             reflect.TypeFor[train.Summary](),
	"elbo data info --json":        reflect.TypeFor[data.FileInfo](),
	"Grey levels":                  reflect.TypeFor[data.GreyInfo](),
	"compare.json":                 reflect.TypeFor[compareSettings](),
	"report.json of a comparison":  reflect.TypeFor[report.Comparison](),
	"data":                         reflect.TypeFor[report.Data](),
	"A model":                      reflect.TypeFor[report.Model](),
	"A figure":                     reflect.TypeFor[report.Figure](),
	"iw of a comparison":           reflect.TypeFor[report.IW](),
	"log_p of a comparison":        reflect.TypeFor[infer.Evidence](),
	"A pass":                       reflect.TypeFor[report.Pass](),
	"sweep.json":                   reflect.TypeFor[sweepSettings](),
	"An axis":                      reflect.TypeFor[train.Axis](),
	"report.json of a sweep":       reflect.TypeFor[sweepReport](),
	"A group":                      reflect.TypeFor[sweepGroup](),
	"A spread":                     reflect.TypeFor[seedSpread](),
	"Criteria":                     reflect.TypeFor[sweepCriteria](),
	"A score":                      reflect.TypeFor[sweepScore](),
	"An image of a score":          reflect.TypeFor[report.Image](),
	"A failure":                    reflect.TypeFor[sweepFailure](),
	"reproduce.json":               reflect.TypeFor[reproduceSettings](),
	"report.json of an anchor":     reflect.TypeFor[reproduceReport](),
	"A figure of an anchor":        reflect.TypeFor[reproducedFigure](),
	"result.json of a seed":        reflect.TypeFor[reproducedRun](),
	"A figure of a seed":           reflect.TypeFor[obtained](),
	"elbo reproduce --json":        reflect.TypeFor[anchorListed](),
	"A published figure":           reflect.TypeFor[anchorFigure](),
	"experiment.json":              reflect.TypeFor[priorFreedomSettings](),
	"report.json of an experiment": reflect.TypeFor[priorFreedomReport](),
	"result.json":                  reflect.TypeFor[armResult](),
	"test":                         reflect.TypeFor[armTest](),
	"experiment.json of VAEs":      reflect.TypeFor[vaeFreedomSettings](),
	"report.json of VAEs":          reflect.TypeFor[vaeFreedomReport](),
	"result.json of a VAE":         reflect.TypeFor[vaeArmResult](),
	"Figures of an arm":            reflect.TypeFor[vaeFigures](),
	"An estimate":                  reflect.TypeFor[infer.Estimate](),
}

// parts are structs whose keys are part of other objects, or were those of earlier
// programs.
var parts = []string{
	"infer.Evaluation", "infer.Gap", "infer.AUROC", // embedded in evalReport, gapSplit and aurocReport
	"run.anyMetrics", "run.anyEMTerms", // old names of keys
	// Of requests to the API and its answers, which its OpenAPI document describes: package serve holds them to it.
	"serve.imagesAsked", "serve.codesAnswer", "serve.scoreAnswer", "serve.imageAnswer", "serve.aboutAnswer",
	// Between the page and its program, which are of one version.
	"serve.listed", "serve.runAnswer", "serve.figures", "serve.exploreAnswer", "serve.dimension", "serve.placed", "serve.state", "serve.inferAnswer",
}

// TestEveryKeyIsOnThePageOfFormats compares the tables of formats.md with the structs
// that are written: their keys in both directions, and that the page says when a key is
// absent or null where it can be.
func TestEveryKeyIsOnThePageOfFormats(t *testing.T) {
	page := tablesOf(t, "formats.md")
	for heading, typ := range formats {
		keys := jsonKeys(typ)
		if heading == "metrics.jsonl" {
			keys["crc32c"] = true // which is no field of the struct: see run.Dir.AppendMetrics
		}
		described := map[string]bool{}
		for _, row := range page.rows(t, heading, "key") {
			if described[row[0]] {
				t.Errorf("formats.md, %s: %s is there twice", heading, row[0])
			}
			described[row[0]] = true
			if optional, known := keys[row[0]]; known && optional != (row[2] != "") {
				t.Errorf("formats.md, %s: %s is %q in the last column, but the program may leave it out: %v", heading, row[0], row[2], optional)
			}
		}
		sameKeys(t, "formats.md, "+heading, described, keys)
	}
}

// TestEveryTypeThatIsWrittenHasItsTable: no struct with JSON keys is missing from formats,
// and none that another one holds.
func TestEveryTypeThatIsWrittenHasItsTable(t *testing.T) {
	known := map[string]bool{}
	for _, name := range parts {
		known[name] = true
	}
	described := map[reflect.Type]bool{}
	for _, typ := range formats {
		known[typ.String()] = true
		described[typ] = true
	}
	for heading, typ := range formats {
		for _, inner := range fieldTypes(typ) {
			if !described[inner] {
				t.Errorf("%s holds a %v, which has no table in formats.md", heading, inner)
			}
		}
	}
	found := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool { return f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`) }) {
				found++
				if name := file.Name.Name + "." + spec.Name.Name; !known[name] {
					t.Errorf("%s: %s has JSON keys, and no table in formats.md", path, name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(formats) + len(parts); found != want {
		t.Errorf("found %d structs with JSON keys, want %d", found, want)
	}
}

// TestEverySettingIsOnThePageOfFormats: with the models that have it.
func TestEverySettingIsOnThePageOfFormats(t *testing.T) {
	settings, described := map[string]bool{}, map[string]bool{}
	models := map[string]string{}
	for _, o := range train.Options() {
		settings[o.Key] = false
		models[o.Key] = "all"
		if o.Kinds != nil {
			models[o.Key] = strings.Join(o.Kinds, ", ")
		}
	}
	for _, row := range tablesOf(t, "formats.md").rows(t, "config.json", "setting") {
		described[row[0]] = true
		if want, ok := models[row[0]]; ok && row[1] != want {
			t.Errorf("formats.md: %s is a setting of %s, want %s", row[0], row[1], want)
		}
	}
	sameKeys(t, "formats.md, config.json", described, settings)
}

// TestEveryPartOfACheckpointIsOnThePageOfFormats: metadata, numerics and tensors, of
// models of every kind.
func TestEveryPartOfACheckpointIsOnThePageOfFormats(t *testing.T) {
	page := tablesOf(t, "formats.md")
	engine := graphtest.Engine(1)
	numerics, err := json.Marshal(engine.Numerics())
	if err != nil {
		t.Fatal(err)
	}
	least := filepath.Join(t.TempDir(), "least.safetensors")
	full := filepath.Join(t.TempDir(), "full.safetensors")
	state := run.State{Epoch: 1, Config: json.RawMessage("{}"), Numerics: numerics}
	if err := run.Save(least, &state); err != nil {
		t.Fatal(err)
	}
	state.Best, state.MStep = &run.Best{}, run.MStep{Stalled: true}
	if err := run.Save(full, &state); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	_, always := decodeCheckpoint(t, least)
	_, all := decodeCheckpoint(t, full)
	for key := range all {
		_, there := always[key]
		keys[key] = !there
	}
	described := map[string]bool{}
	for _, row := range page.rows(t, "Metadata", "key") {
		described[row[0]] = true
		if optional, known := keys[row[0]]; known && optional != (row[2] != "") {
			t.Errorf("formats.md, Metadata: %s is %q in the last column, but the program may leave it out: %v", row[0], row[2], optional)
		}
	}
	sameKeys(t, "formats.md, Metadata", described, keys)

	// Which of the optional ones there are is for the library and the build to say.
	described = map[string]bool{}
	for _, row := range page.rows(t, "Numerics", "key") {
		if _, there := engine.Numerics()[row[0]]; there || row[2] == "" {
			described[row[0]] = true
		}
	}
	numeric := map[string]bool{}
	for key := range engine.Numerics() {
		numeric[key] = true
	}
	sameKeys(t, "formats.md, Numerics", described, numeric)

	names, described := map[string]bool{}, map[string]bool{}
	for _, row := range page.rows(t, "Tensors", "tensor") {
		described[row[0]] = true
	}
	layer := regexp.MustCompile(`\.z\d+\.`) // stochastic
	number, moment := regexp.MustCompile(`\.\d+\.`), regexp.MustCompile(`^(adam\.[mv]|ema)\..*`)
	for _, tensor := range tensorsOfEveryKind(t) {
		for range 2 { // a dot is between two numbers
			tensor = number.ReplaceAllString(tensor, ".<n>.")
		}
		names[moment.ReplaceAllString(layer.ReplaceAllString(tensor, ".z<l>."), "$1.<parameter>")] = true
	}
	sameKeys(t, "formats.md, Tensors", described, names)

	versions := page.rows(t, "History of the versions", "format")
	if last := versions[len(versions)-1][0]; last != strconv.Itoa(run.FormatVersion) {
		t.Errorf("formats.md: the history ends with format %s, and the program writes %d", last, run.FormatVersion)
	}
}

// tensorsOfEveryKind trains small models for an epoch, and returns the names of all tensors
// in their checkpoints.
func tensorsOfEveryKind(t *testing.T) []string {
	t.Helper()
	_, dir := tinyProgram(t, io.Discard, io.Discard)
	var names []string
	for i, flags := range []string{
		"--binarise none --likelihood gaussian --hidden 5 --latent 2 --batch 10 --ema 0.9",
		"--binarise static --hidden 5 --latent 2 --batch 10 --prior mixture --prior-components 2",
		"--binarise static --hidden 5 --latent 2 --batch 10 --prior exemplar --prior-components 2",
		"--binarise static --hidden 5 --latent 2 --batch 10 --prior vamp --pseudo-inputs 2",
		"--binarise static --freeze decoder --init-from " + filepath.Join(dir, "run3"),
		"--network residual --binarise static --conv-channels 2 --blocks 1 --hidden none --latent 2 --batch 10",
		"--binarise none --likelihood gaussian --hidden 5 --latent 2 --batch 10 --posterior flow --prior flow --flow-layers 1 --flow-hidden 3",
		"--binarise static --hidden 5;4 --latent 2,2 --batch 10",
		"--model grid --binarise static --grid 2x2 --hidden 5",
		"--model mixture --binarise static --components 2 --prior per-image",
		"--model mixture --binarise none --likelihood beta-binomial --components 2",
		"--model mixture --binarise none --likelihood gaussian --components 2 --incremental 10",
	} {
		out := filepath.Join(dir, fmt.Sprint("run", i))
		runCommand(t, append(strings.Fields("train "+flags), "--data", filepath.Join(dir, "data"), "--epochs", "1", "--workers", "1", "--out", out)...)
		r, err := train.ReadRun(out)
		if err != nil {
			t.Fatal(err)
		}
		_, path, _ := r.Latest()
		tensors, _ := decodeCheckpoint(t, path)
		for _, tensor := range tensors {
			names = append(names, tensor.Name)
		}
	}
	return names
}

func decodeCheckpoint(t *testing.T, path string) ([]safetensors.Tensor, map[string]string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tensors, metadata, err := safetensors.Decode(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return tensors, metadata
}

// TestEveryColumnIsOnThePageOfFormats: of the CSV files, in their order.
func TestEveryColumnIsOnThePageOfFormats(t *testing.T) {
	page := tablesOf(t, "formats.md")
	for heading, write := range map[string]func(w io.Writer) error{
		"gap.csv":       (&gapReport{}).writeCSV,
		"scores.csv":    (&scoreReport{}).writeCSV,
		"per-image.csv": func(w io.Writer) error { return writeScores(w, report.Comparison{}) },
		"table.csv":     priorFreedomReport{}.writeCSV,

		"table.csv of VAEs": vaeFreedomReport{}.writeCSV,
	} {
		var header bytes.Buffer
		if err := write(&header); err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, row := range page.rows(t, heading, "column") {
			columns = append(columns, row[0])
		}
		if got, want := strings.Join(columns, ","), strings.TrimSpace(header.String()); got != want {
			t.Errorf("formats.md, %s: columns %s\nthe program writes %s", heading, got, want)
		}
	}
}

// TestEveryCommandWithJSONIsOnThePageOfFormats looks for flags of that name.
func TestEveryCommandWithJSONIsOnThePageOfFormats(t *testing.T) {
	page := docPage(t, "formats.md")
	found := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("json") != nil {
			found++
			if command := cmd.CommandPath() + " --json"; !strings.Contains(page, command) {
				t.Errorf("formats.md does not say what %s prints", command)
			}
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(newRootCmd(&program{name: "elbo", stdout: io.Discard, stderr: io.Discard, cpus: 1}))
	if found < 10 {
		t.Errorf("found %d commands with --json, want those of the page", found)
	}
}

// TestLinksOnThePageOfFormatsLeadSomewhere: to headings of the page, written as they are
// in links.
func TestLinksOnThePageOfFormatsLeadSomewhere(t *testing.T) {
	text := docPage(t, "formats.md")
	anchors := map[string]bool{}
	for _, heading := range docHeading.FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		if anchor = strings.ReplaceAll(anchor, " ", "-"); anchors[anchor] {
			t.Errorf("formats.md: two headings are #%s", anchor)
		} else {
			anchors[anchor] = true
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !anchors[link[1]] {
			t.Errorf("formats.md: there is no heading #%s", link[1])
		}
	}
}

// docTables are the tables of a page by their headings: of each the name of its first
// column, and its rows.
type docTables map[string]map[string][][]string

var (
	docHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	cellBorder = regexp.MustCompile(`(?:^|[^\\])\|`)
)

func tablesOf(t *testing.T, name string) docTables {
	t.Helper()
	tables := docTables{}
	heading, first := "", ""
	for line := range strings.Lines(docPage(t, name)) {
		if h := docHeading.FindStringSubmatch(strings.TrimSpace(line)); h != nil {
			heading, first = h[1], ""
			if tables[heading] != nil {
				t.Errorf("%s: two headings are %q", name, heading)
			}
			tables[heading] = map[string][][]string{}
			continue
		}
		if !strings.HasPrefix(line, "|") {
			first = ""
			continue
		}
		var cells []string
		border := cellBorder.FindAllStringIndex(line, -1)
		for i := range len(border) - 1 {
			cells = append(cells, strings.TrimSpace(line[border[i][1]:border[i+1][1]-1]))
		}
		switch {
		case first == "":
			first = cells[0]
		case !strings.HasPrefix(cells[0], "---"):
			cells[0] = strings.Trim(cells[0], "`")
			tables[heading][first] = append(tables[heading][first], cells)
		}
	}
	return tables
}

// rows are those of the table under a heading whose first column has that name.
func (d docTables) rows(t *testing.T, heading, first string) [][]string {
	t.Helper()
	rows := d[heading][first]
	if len(rows) == 0 {
		t.Fatalf("formats.md has no table of a %s under %q", first, heading)
	}
	return rows
}

func sameKeys(t *testing.T, where string, described, written map[string]bool) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(written)) {
		if _, ok := described[key]; !ok {
			t.Errorf("%s: %s is missing", where, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(described)) {
		if _, ok := written[key]; !ok {
			t.Errorf("%s: the program writes no %s", where, key)
		}
	}
}

// jsonKeys returns the keys of a struct's JSON object, and whether each may be left out
// or null.
func jsonKeys(typ reflect.Type) map[string]bool {
	keys := map[string]bool{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" {
			maps.Copy(keys, jsonKeys(f.Type))
			continue
		}
		tag, ok := f.Tag.Lookup("json")
		if name, options, _ := strings.Cut(tag, ","); ok && name != "-" {
			// A pointer without omitempty that is set in every case is said so here.
			always := typ == reflect.TypeFor[swapReport]() && name == "before"
			keys[name] = options == "omitempty" || f.Type.Kind() == reflect.Pointer && !always
		}
	}
	return keys
}

// fieldTypes returns the structs that a struct's JSON object holds.
func fieldTypes(typ reflect.Type) []reflect.Type {
	var types []reflect.Type
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" {
			types = append(types, fieldTypes(f.Type)...)
			continue
		}
		if tag, ok := f.Tag.Lookup("json"); !ok || tag == "-" {
			continue
		}
		inner := f.Type
		for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map}, inner.Kind()) {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			types = append(types, inner)
		}
	}
	return types
}
