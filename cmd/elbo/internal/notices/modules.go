package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// systems are those that the program is built for (`make cross`): modules, and files of
// them, differ.
var systems = [...][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}

// module is a part of the program that has a licence of its own.
type module struct {
	Path, Version string
	Dir           string
	Packages      []string // folders of the linked packages, sorted
	Sources       []string // their files that are compiled, sorted
}

func (m module) name() string { return strings.TrimSpace(m.Path + " " + m.Version) }

// linkedModules lists elbo, whose licence stands first, Go, and every module that elbo
// is linked with on any system, sorted by path.
func linkedModules(root string) ([]module, error) {
	found := map[string]*module{}
	packages, sources := map[string]bool{}, map[string]bool{}
	for _, system := range systems {
		listed, err := goList(root, system[0], system[1])
		if err != nil {
			return nil, err
		}
		for _, p := range listed {
			if p.Module == nil || p.Module.Main {
				continue
			}
			m := found[p.Module.Path]
			if m == nil {
				m = &module{Path: p.Module.Path, Version: p.Module.Version, Dir: p.Module.Dir}
				found[m.Path] = m
			}
			if !packages[p.Dir] {
				packages[p.Dir] = true
				m.Packages = append(m.Packages, p.Dir)
			}
			for _, name := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles) {
				if file := filepath.Join(p.Dir, name); !sources[file] {
					sources[file] = true
					m.Sources = append(m.Sources, file)
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("go list found no module in %s", root)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	modules := []module{
		{Path: "elbo", Dir: root},
		// Its version is the compiler's, which `elbo version` has.
		{Path: "Go, its runtime and standard library", Dir: strings.TrimSpace(string(goroot))},
	}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		slices.Sort(found[path].Packages)
		slices.Sort(found[path].Sources)
		modules = append(modules, *found[path])
	}
	return modules, nil
}

// listedPackage is what is asked of go list.
type listedPackage struct {
	Dir                     string
	Module                  *listedModule
	GoFiles, SFiles, HFiles []string
}

type listedModule struct {
	Path, Version, Dir string
	Main               bool
}

func goList(root, system, arch string) ([]listedPackage, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Dir,Module,GoFiles,SFiles,HFiles", "./cmd/elbo")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
	var words bytes.Buffer
	cmd.Stderr = &words
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list for %s/%s: %w\n%s", system, arch, err, words.Bytes())
	}
	var packages []listedPackage
	for d := json.NewDecoder(bytes.NewReader(output)); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list for %s/%s: %w", system, arch, err)
		}
		packages = append(packages, p)
	}
}

var (
	// licenceName is how files with a licence, or with a notice to be passed on, are called.
	licenceName = regexp.MustCompile(`(?i)^(un)?(licen[cs]es?|copying|copyright|notices?|patents|third[-_]?party)\b[^/]*$`)
	// licencesFolder is how a folder is called that holds such files under any name.
	licencesFolder = regexp.MustCompile(`(?i)^(third[-_]?party[-_]?)?(licen[cs]es|notices)$`)
)

// licenceFiles finds the texts that cover what is linked of a module: beside its packages,
// and in the folders above them up to the module's own. Names are relative to the module,
// with slashes; those of its own folder stand first.
func licenceFiles(m module) ([]string, error) {
	folders := map[string]bool{".": true}
	for _, dir := range m.Packages {
		relative, err := filepath.Rel(m.Dir, dir)
		if err != nil {
			return nil, err
		}
		for ; relative != "."; relative = filepath.Dir(relative) {
			folders[relative] = true
		}
	}
	var files []string
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		entries, err := os.ReadDir(filepath.Join(m.Dir, folder))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name(), err)
		}
		for _, entry := range entries {
			switch name := filepath.Join(folder, entry.Name()); {
			case entry.IsDir() && licencesFolder.MatchString(entry.Name()):
				err := filepath.WalkDir(filepath.Join(m.Dir, name), func(path string, e fs.DirEntry, err error) error {
					if err == nil && e.Type().IsRegular() {
						var relative string
						relative, err = filepath.Rel(m.Dir, path)
						files = append(files, filepath.ToSlash(relative))
					}
					return err
				})
				if err != nil {
					return nil, fmt.Errorf("%s: %w", m.name(), err)
				}
			case entry.Type().IsRegular() && licenceName.MatchString(entry.Name()) && filepath.Ext(name) != ".go":
				files = append(files, filepath.ToSlash(name))
			}
		}
	}
	slices.SortStableFunc(files, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return slices.Compact(files), nil
}
