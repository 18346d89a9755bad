package run

import (
	"os/exec"
	"strings"
	"testing"
)

// TestPathsInHintsReachTheProgramAsTheyAre: a shell makes of a quoted path the path
// itself, but for ./ before a dash.
func TestPathsInHintsReachTheProgramAsTheyAre(t *testing.T) {
	paths := []string{
		"runs/vae-001", "", "a b/c  d", `a'b"c$HOME`, "`id`", "a\\b", "~root", "#no", "*", "[a]?", "{a,b}", "a;b&c|d>e<f(g)", "!!", "a=b",
		"-dash", "--out", "émile/ﬁ", "a\nb", "\t'\\7", "\x7f0", "bad \xff8 \xf0\x9f", "right\u202eleft", "\ufffd",
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Logf("there is no bash: only what every shell takes is tried")
	}
	for _, path := range paths {
		quoted, want, shell := ShellPath(path), path, bash
		if strings.HasPrefix(path, "-") {
			want = "./" + path
		}
		if strings.ContainsAny(quoted, "\n\r\t\x7f") || strings.ToValidUTF8(quoted, "") != quoted {
			t.Errorf("%q is quoted %q: want one line of text", path, quoted)
		}
		if !strings.HasPrefix(quoted, "$'") {
			shell = "sh"
		}
		if shell == "" {
			continue
		}
		got, err := exec.Command(shell, "-c", "printf %s "+quoted).Output()
		if err != nil {
			t.Fatalf("%s: %v", quoted, err)
		}
		if string(got) != want {
			t.Errorf("%s makes of %s %q, want %q", shell, quoted, got, want)
		}
	}
	if got := ShellPath("runs/vae-001"); got != "runs/vae-001" {
		t.Errorf("ShellPath quotes a path that needs none: %s", got)
	}
}
