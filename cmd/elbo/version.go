package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCmd(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Which program this is, and what its numbers are computed with",
		Long: `Print the version of the program and the revision of its source, Go's version, the
system, and what decides how numbers are rounded here, as inspect prints it of a
checkpoint: runs whose numerics are equal agree in every bit.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runVersion(p, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runVersion(p *program, asJSON bool) error {
	engine := p.engine(p.cpus)
	v := versionOf(debug.ReadBuildInfo())
	v.BLAS, v.BLASPath, v.Numerics = engine.BLAS.String(), engine.BLAS.Path, engine.Numerics()
	if asJSON {
		return writeJSON(p.stdout, v)
	}
	v.write(p.stdout)
	return nil
}

// versioned is what version --json prints.
type versioned struct {
	Version  string            `json:"version"`                 // of the module: a tag, a pseudo-version, or "(devel)"
	Revision string            `json:"revision,omitempty"`      // of the source; absent where the build did not record it
	Time     string            `json:"revision_time,omitempty"` // RFC 3339
	Modified *bool             `json:"modified,omitempty"`      // whether the source differed from the revision
	Go       string            `json:"go"`
	System   string            `json:"system"` // operating system / architecture
	BLAS     string            `json:"blas"`
	BLASPath string            `json:"blas_path,omitempty"`
	Numerics map[string]string `json:"numerics"`
}

// versionOf reads what the build recorded; ok says whether it recorded anything.
func versionOf(info *debug.BuildInfo, ok bool) versioned {
	v := versioned{Version: "(devel)", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			modified := s.Value == "true"
			v.Modified = &modified
		}
	}
	return v
}

func (v versioned) write(w io.Writer) {
	fmt.Fprintf(w, "elbo %s\n", v.Version)
	switch {
	case v.Revision == "":
		fmt.Fprintln(w, "revision not recorded by the build")
	case v.Modified != nil && *v.Modified:
		fmt.Fprintf(w, "revision %s of %s, modified\n", v.Revision, v.Time)
	default:
		fmt.Fprintf(w, "revision %s of %s\n", v.Revision, v.Time)
	}
	numerics, _ := json.Marshal(v.Numerics) // a map of strings always has a JSON form
	library := v.BLAS
	if v.BLASPath != "" {
		library += " (" + v.BLASPath + ")"
	}
	fmt.Fprintf(w, "%s %s\n%s\nnumerics %s\n", v.Go, v.System, library, numerics)
}
