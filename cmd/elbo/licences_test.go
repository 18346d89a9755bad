package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestEveryLinkedModuleStandsInTheNotices: a module that is new, or another version of
// one, is missed before it is distributed. (`make check` looks at the texts as well, and
// at all systems.)
func TestEveryLinkedModuleStandsInTheNotices(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", ".")
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	linked := strings.Split(strings.TrimSpace(string(output)), "\n")
	rows := map[string]bool{}
	for row := range strings.Lines(moduleTable(thirdPartyNotices)) {
		if fields := strings.Fields(row); len(fields) > 2 {
			rows[fields[0]+" "+fields[1]] = true
		}
	}
	seen := 0
	for _, module := range linked {
		if module == "" {
			continue
		}
		seen++
		if !rows[module] {
			t.Errorf("%s is linked into elbo, and no row of THIRD_PARTY_NOTICES.txt names it: run `make licences`, and look at the difference", module)
		}
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(module) + `: .`).MatchString(thirdPartyNotices) {
			t.Errorf("THIRD_PARTY_NOTICES.txt has no text that covers %s", module)
		}
	}
	if seen < 20 {
		t.Errorf("go list names %d packages of modules: the test looks in the wrong place", seen)
	}
}
