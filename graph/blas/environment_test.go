package blas

import (
	"strings"
	"testing"
)

func TestWhatRestrictsTheLibraryIsSaid(t *testing.T) {
	openblas := func(kernel string) *Library { return &Library{Name: "OpenBLAS", Kernel: kernel} }
	for _, c := range []struct {
		lib    *Library
		env    map[string]string
		avx512 bool
		want   []string // a part of each line
	}{
		{openblas("SkylakeX"), nil, true, nil},
		{openblas("Haswell"), map[string]string{"OPENBLAS_CORETYPE": "Haswell"}, true, []string{"OPENBLAS_CORETYPE=Haswell keeps OpenBLAS from the AVX-512"}},
		{openblas("Haswell"), map[string]string{"OPENBLAS_CORETYPE": "Haswell"}, false, []string{"OPENBLAS_CORETYPE=Haswell chooses the kernel"}},
		{openblas("Cooperlake"), map[string]string{"OPENBLAS_CORETYPE": "COOPERLAKE"}, true, []string{"OPENBLAS_CORETYPE=COOPERLAKE chooses the kernel"}},
		{BuiltIn(), map[string]string{"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "0x100000"}, true, nil},
		{Gonum(), map[string]string{"OPENBLAS_CORETYPE": "Haswell", "ELBO_BLAS": "gonum"}, true, []string{"ELBO_BLAS=gonum"}},
		{openblas("Zen"), map[string]string{"OPENBLAS_L2_SIZE": "0x100000", "GOMAXPROCS": "1"}, false, []string{"OPENBLAS_L2_SIZE=0x100000", "GOMAXPROCS=1 leaves 3 of 4 CPUs unused"}},
		{openblas("Zen"), map[string]string{"GOMAXPROCS": "4"}, false, nil},
	} {
		got := c.lib.restrictions(func(name string) string { return c.env[name] }, c.avx512, 4)
		if len(got) != len(c.want) {
			t.Errorf("%v, %v: %q, want %d lines", c.lib, c.env, got, len(c.want))
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%v, %v: %q, want %q in it", c.lib, c.env, got[i], want)
			}
		}
	}
}
