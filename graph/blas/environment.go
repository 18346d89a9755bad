package blas

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"
)

// wideKernels are OpenBLAS' kernels that use AVX-512.
var wideKernels = []string{"skylakex", "cooperlake", "sapphirerapids"}

// Restrictions says, a line each, what in the environment decides how fast the
// library is, and what it costs. getenv looks a variable up, as os.Getenv does.
func (l *Library) Restrictions(getenv func(name string) string) []string {
	return l.restrictions(getenv, hasAVX512(), runtime.NumCPU())
}

func hasAVX512() bool {
	x := cpu.X86
	return x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL
}

func (l *Library) restrictions(getenv func(name string) string, avx512 bool, cpus int) []string {
	var lines []string
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if choice := getenv("ELBO_BLAS"); choice != "" {
		line("ELBO_BLAS=%s chooses the matrix product", choice)
	}
	if core := getenv("OPENBLAS_CORETYPE"); core != "" && l.Name == "OpenBLAS" {
		if avx512 && !slices.Contains(wideKernels, strings.ToLower(l.Kernel)) {
			line("OPENBLAS_CORETYPE=%s keeps OpenBLAS from the AVX-512 of this CPU (%s kernel), about half the speed: unset it", core, l.Kernel)
		} else {
			line("OPENBLAS_CORETYPE=%s chooses the kernel", core)
		}
	}
	if size := getenv("OPENBLAS_L2_SIZE"); size != "" && l.Name == "OpenBLAS" {
		line("OPENBLAS_L2_SIZE=%s sets the blocks of OpenBLAS, which may cost half the speed: unset it", size)
	}
	if n, err := strconv.Atoi(getenv("GOMAXPROCS")); err == nil && n < cpus {
		line("GOMAXPROCS=%d leaves %d of %d CPUs unused", n, cpus-n, cpus)
	}
	return lines
}
