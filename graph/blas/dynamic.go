//go:build linux || darwin

package blas

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// candidates are the names under which package managers install a BLAS that is
// worth having, the fastest on most machines first. The reference libblas is left out
// on purpose: it is slower than gonum.
func candidates() []string {
	if runtime.GOOS == "darwin" {
		return []string{
			"/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
			"/usr/local/opt/openblas/lib/libopenblas.dylib",
			"/opt/local/lib/libopenblas.dylib",
			"libopenblas.dylib",
			"/System/Library/Frameworks/Accelerate.framework/Accelerate",
		}
	}
	return []string{
		"libopenblas.so.0", "libopenblas.so",
		"libmkl_rt.so.2", "libmkl_rt.so", "/opt/intel/oneapi/mkl/latest/lib/libmkl_rt.so.2",
		"libblis.so.4", "libblis.so",
	}
}

// oneThread are the variables that keep a library from making threads of its own while it
// is loaded: they would never be used, and in OpenBLAS with OpenMP get into each other's
// way.
var oneThread = [][2]string{
	{"OPENBLAS_NUM_THREADS", "1"},
	{"OMP_NUM_THREADS", "1"}, // what OpenBLAS built with OpenMP listens to
	{"MKL_THREADING_LAYER", "SEQUENTIAL"},
	{"MKL_CBWR", "AUTO,STRICT"}, // and the same bits wherever a matrix lies in memory
	{"BLIS_NUM_THREADS", "1"},
	{"VECLIB_MAXIMUM_THREADS", "1"},
}

// open loads the chosen library, or the first candidate that loads.
func open(choice string) (*Library, error) {
	paths := candidates()
	if choice != "" {
		paths = []string{choice}
	}
	for _, v := range oneThread {
		setenv(v[0], v[1])
	}
	var errs []error
	for _, path := range paths {
		lib, err := load(path)
		if err == nil {
			return lib, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func load(path string) (*Library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%s: not found", path)
	}
	// OpenBLAS takes an AVX-512 CPU that it does not know for an AVX2 one and
	// loses half the speed. The kernel is chosen while the library is loaded, so
	// asking for another means loading it once more. A user's choice wins.
	if name := corename(handle); os.Getenv("OPENBLAS_CORETYPE") == "" && hasAVX512() && (name == "Haswell" || name == "Zen") {
		setenv("OPENBLAS_CORETYPE", "SkylakeX")
		if purego.Dlclose(handle) == nil {
			if handle, err = purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL); err != nil {
				return nil, fmt.Errorf("%s: %v", path, err)
			}
		}
	}
	sgemm, err := purego.Dlsym(handle, "sgemm_")
	if err != nil {
		return nil, fmt.Errorf("%s: exports no sgemm_", path)
	}
	lib := &Library{Name: "BLAS", Path: path, sgemm: fortranSgemm(sgemm)}
	lib.identify(handle)
	return lib, nil
}

// identify asks the library who it is and, where it has threads, for one.
func (l *Library) identify(handle uintptr) {
	has := func(symbol string) bool {
		_, err := purego.Dlsym(handle, symbol)
		return err == nil
	}
	switch {
	case has("openblas_get_config"):
		l.Name, l.Version, l.Kernel = "OpenBLAS", openblasVersion(handle), corename(handle)
		call(handle, "openblas_set_num_threads", 1)
	case has("MKL_Get_Version_String"):
		l.Name = "MKL"
		l.Version = mklVersion(mklText(handle))
	case has("bli_info_get_version_str"):
		l.Name, l.Version = "BLIS", callString(handle, "bli_info_get_version_str")
		call(handle, "bli_thread_set_num_threads", 1)
		l.Kernel = blisKernel(handle)
	case strings.Contains(l.Path, "Accelerate"):
		l.Name = "Accelerate"
	}
}

// mklVersion is "2024.2" out of "Intel(R) oneAPI Math Kernel Library Version 2024.2-Product
// Build 20240605 for ...".
func mklVersion(text string) string {
	_, rest, _ := strings.Cut(text, "Version ")
	version, _, _ := strings.Cut(rest, " ")
	version, _, _ = strings.Cut(version, "-")
	return version
}

// mklText is what MKL says of itself.
func mklText(handle uintptr) string {
	var say func(text *byte, size int32)
	purego.RegisterLibFunc(&say, handle, "MKL_Get_Version_String") // keeps the buffer where it is
	text := make([]byte, 200)
	say(&text[0], int32(len(text)))
	text, _, _ = bytes.Cut(text, []byte{0})
	return string(text)
}

// blisKernel is the name of the CPU that BLIS takes this one for.
func blisKernel(handle uintptr) string {
	name, err := purego.Dlsym(handle, "bli_arch_string")
	if err != nil {
		return ""
	}
	var arch func(id int32) string
	purego.RegisterFunc(&arch, name)
	return arch(int32(call(handle, "bli_arch_query_id")))
}

// call calls a function of integers, if the library has it.
func call(handle uintptr, symbol string, args ...uintptr) uintptr {
	f, err := purego.Dlsym(handle, symbol)
	if err != nil {
		return 0
	}
	result, _, _ := purego.SyscallN(f, args...)
	return result
}

// fortranSgemm wraps sgemm_, which takes every argument by address and matrices
// by columns. A row-major C = op(A) op(B) is, read by columns,
// Cᵀ = op(B)ᵀ op(A)ᵀ: the operands change places and nothing is copied.
//
// Integers are stored in 64 bits, so that a library built for 64-bit indices
// reads the same numbers (all supported CPUs are little-endian).
func fortranSgemm(sgemm uintptr) sgemmFunc {
	type arguments struct {
		transA, transB byte
		m, n, k        int64
		lda, ldb, ldc  int64
		alpha, beta    float32
	}
	flag := map[bool]byte{false: 'N', true: 'T'}
	return func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
		s := &arguments{flag[transA], flag[transB], int64(m), int64(n), int64(k), int64(lda), int64(ldb), int64(ldc), alpha, beta}
		purego.SyscallN(sgemm,
			uintptr(unsafe.Pointer(&s.transB)), uintptr(unsafe.Pointer(&s.transA)),
			uintptr(unsafe.Pointer(&s.n)), uintptr(unsafe.Pointer(&s.m)), uintptr(unsafe.Pointer(&s.k)),
			uintptr(unsafe.Pointer(&s.alpha)),
			uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&s.ldb)),
			uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&s.lda)),
			uintptr(unsafe.Pointer(&s.beta)),
			uintptr(unsafe.Pointer(&c[0])), uintptr(unsafe.Pointer(&s.ldc)),
			1, 1) // the hidden lengths of the two character arguments
		runtime.KeepAlive(s)
	}
}

func corename(handle uintptr) string {
	return callString(handle, "openblas_get_corename")
}

// openblasVersion is "0.3.21" out of "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...".
func openblasVersion(handle uintptr) string {
	fields := strings.Fields(callString(handle, "openblas_get_config"))
	if len(fields) >= 2 && fields[0] == "OpenBLAS" {
		return fields[1]
	}
	return ""
}

func callString(handle uintptr, symbol string) string {
	if _, err := purego.Dlsym(handle, symbol); err != nil {
		return ""
	}
	var f func() string
	purego.RegisterLibFunc(&f, handle, symbol)
	return f()
}

// setenv sets a variable in the environment that C code reads: without cgo,
// os.Setenv reaches Go's copy only.
func setenv(name, value string) {
	libc := "libc.so.6"
	if runtime.GOOS == "darwin" {
		libc = "/usr/lib/libSystem.B.dylib"
	}
	handle, err := purego.Dlopen(libc, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return // the library's own choice stands
	}
	var set func(name, value string, overwrite int32) int32
	purego.RegisterLibFunc(&set, handle, "setenv")
	set(name, value, 1)
}
