package main

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// TestVersionSaysWhatTheBuildRecorded: a release, a build of a changed source, and one
// without version control.
func TestVersionSaysWhatTheBuildRecorded(t *testing.T) {
	build := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: "elbo", Version: version}, Settings: settings}
	}
	revision := []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123abcd"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}}
	for _, c := range []struct {
		name, want string
		info       *debug.BuildInfo
	}{
		{"release", "elbo v1.2.0\nrevision 0123abcd of 2026-01-02T03:04:05Z\n", build("v1.2.0", append(revision, debug.BuildSetting{Key: "vcs.modified", Value: "false"})...)},
		{"modified", "elbo v1.2.1-0.20260102030405-0123abcd+dirty\nrevision 0123abcd of 2026-01-02T03:04:05Z, modified\n", build("v1.2.1-0.20260102030405-0123abcd+dirty", append(revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"})...)},
		{"no version control", "elbo (devel)\nrevision not recorded by the build\n", build("")},
		{"nothing", "elbo (devel)\nrevision not recorded by the build\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got bytes.Buffer
			versionOf(c.info, c.info != nil).write(&got)
			if !strings.HasPrefix(got.String(), c.want+runtime.Version()) {
				t.Errorf("got\n%swant it to begin with\n%s%s", &got, c.want, runtime.Version())
			}
		})
	}
}
