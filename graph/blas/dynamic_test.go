//go:build linux || darwin

package blas

import "testing"

func TestVersionsAreFoundInWhatLibrariesSay(t *testing.T) {
	const text = "Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for Intel(R) 64 architecture applications"
	if got := mklVersion(text); got != "2024.2" {
		t.Errorf("MKL is of version %q, want 2024.2", got)
	}
	if got := mklVersion("something else"); got != "" {
		t.Errorf("no version is taken for %q", got)
	}
}
