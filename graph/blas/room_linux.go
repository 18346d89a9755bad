package blas

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// room is how much address space a library has to find: OpenBLAS maps a buffer of tens of
// megabytes for each of up to 128 threads, and where it gets none it tries for ever.
const room = 4 << 30

// roomForLibrary is an error where the address space is limited to less than a library may
// ask for.
func roomForLibrary() error {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &limit) != nil || limit.Cur == unix.RLIM_INFINITY {
		return nil
	}
	used := uint64(0)
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var pages uint64
		fmt.Sscan(strings.TrimSpace(string(text)), &pages)
		used = pages * uint64(os.Getpagesize())
	}
	if used < limit.Cur && limit.Cur-used >= room {
		return nil
	}
	return fmt.Errorf("address space is limited to %d MB, of which %d are in use, and a library may ask for %d more: raise `ulimit -v`", limit.Cur>>20, used>>20, room>>20)
}
