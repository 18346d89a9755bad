//go:build linux || darwin

package mpi

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is an MPI library that was opened: its functions, and what its header calls the
// handles and constants that are used here.
type library struct {
	path       string
	functions  map[string]uintptr
	schedYield uintptr // of the C library, 0 where it has none
	constants
}

// constants have the values of mpi.h. In Open MPI handles are addresses of objects in the
// library; in MPICH and those with its binary interface they are numbers.
type constants struct {
	world, float32s, float64s, bytes, sum, errorsReturn uintptr
	inPlace, statusIgnore                               uintptr
}

// mpichABI are the numbers that MPICH and those that share its binary interface (Intel MPI,
// MVAPICH, Cray MPICH) agree on.
var mpichABI = constants{
	world: 0x44000000, float32s: 0x4c00040a, float64s: 0x4c00080b, bytes: 0x4c00010d, sum: 0x58000003,
	errorsReturn: 0x54000001, inPlace: ^uintptr(0), statusIgnore: 1,
}

var functions = []string{
	"MPI_Init_thread", "MPI_Comm_rank", "MPI_Comm_size", "MPI_Comm_set_errhandler", "MPI_Error_string",
	"MPI_Iallreduce", "MPI_Iallgather", "MPI_Iallgatherv", "MPI_Ibcast", "MPI_Isend", "MPI_Irecv", "MPI_Iprobe", "MPI_Request_free", "MPI_Test", "MPI_Abort", "MPI_Finalize",
}

// candidates are the names of the libraries, that of Open MPI's launcher first where Open MPI
// has started the process.
func candidates(by string) []string {
	open, mpich := []string{"libmpi.so.40", "libmpi.so"}, []string{"libmpi.so.12", "libmpich.so.12", "libmpi.so"}
	if runtime.GOOS == "darwin" {
		open, mpich = []string{"/opt/homebrew/lib/libmpi.dylib", "/usr/local/lib/libmpi.dylib", "libmpi.dylib"}, nil
	}
	if strings.HasPrefix(by, "PMI_") {
		return append(mpich, open...)
	}
	return append(open, mpich...)
}

// open opens the library at path, or the first candidate that is one.
func open(path, by string) (*library, error) {
	paths := candidates(by)
	if path != "" {
		paths = []string{path}
	}
	var errs []error
	for _, p := range paths {
		l, err := load(p)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func load(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL) // global: its plug-ins look for it
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be opened", path)
	}
	l := &library{path: path, functions: map[string]uintptr{}, constants: mpichABI}
	for _, name := range functions {
		if l.functions[name], err = purego.Dlsym(handle, name); err != nil {
			return nil, fmt.Errorf("%s: exports no %s", path, name)
		}
	}
	l.schedYield, _ = purego.Dlsym(purego.RTLD_DEFAULT, "sched_yield")
	if world, err := purego.Dlsym(handle, "ompi_mpi_comm_world"); err == nil {
		l.constants = constants{world: world, inPlace: 1}
		for symbol, at := range map[string]*uintptr{
			"ompi_mpi_float": &l.float32s, "ompi_mpi_double": &l.float64s, "ompi_mpi_byte": &l.bytes,
			"ompi_mpi_op_sum": &l.sum, "ompi_mpi_errors_return": &l.errorsReturn,
		} {
			if *at, err = purego.Dlsym(handle, symbol); err != nil {
				return nil, fmt.Errorf("%s: exports no %s", path, symbol)
			}
		}
	}
	return l, nil
}

// call calls a function, and returns the error that it answers with. Pointers are to be
// turned into numbers in the call itself: what they point to then stays where it is until
// call returns.
//
//go:uintptrescapes
func (l *library) call(name string, args ...uintptr) error {
	code, _, _ := purego.SyscallN(l.functions[name], args...)
	if int32(code) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", name, l.message(int32(code)))
}

// yield lets another thread that waits for this CPU have it.
func (l *library) yield() {
	if l.schedYield == 0 {
		runtime.Gosched()
		return
	}
	purego.SyscallN(l.schedYield)
}

// message is the library's text for an error.
func (l *library) message(code int32) string {
	text, length := make([]byte, 8192), new(int32)
	purego.SyscallN(l.functions["MPI_Error_string"], uintptr(code), uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(length)))
	text, _, _ = bytes.Cut(text, []byte{0})
	if len(text) == 0 {
		return fmt.Sprintf("error %d", code)
	}
	return string(text)
}
