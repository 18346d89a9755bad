package data

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// AvailableMemory returns how many bytes can be allocated without swapping and
// without passing a limit: what the kernel says of the machine (MemAvailable of
// /proc/meminfo on Linux), or what is left to a control group that this process is
// in, as containers and batch systems make them, where that is less. It is at least
// 0, and 8 GiB where nothing is known.
func AvailableMemory() int64 { return availableMemory(os.DirFS("/")) }

// availableMemory is AvailableMemory with a given root of the file system.
//
// Sources: the kernel's documents "Control Group v2", section "Memory Interface
// Files", and "Memory Resource Controller" (version 1).
func availableMemory(root fs.FS) int64 {
	version2 := groupFiles{"sys/fs/cgroup", "memory.max", "memory.current", []string{"active_file", "inactive_file"}}
	version1 := groupFiles{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", []string{"total_active_file", "total_inactive_file"}}
	least := int64(8 << 30)
	if n, ok := memAvailable(contentOf(root, "proc/meminfo")); ok {
		least = n
	}
	for line := range strings.Lines(string(contentOf(root, "proc/self/cgroup"))) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, group
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[1] == "":
			least = min(least, leftToGroups(root, fields[2], version2))
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			least = min(least, leftToGroups(root, fields[2], version1))
		}
	}
	return max(0, least)
}

// memAvailable finds the line "MemAvailable:  <n> kB" and returns n in bytes.
func memAvailable(meminfo []byte) (int64, bool) {
	for line := range bytes.Lines(meminfo) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == "MemAvailable:" && string(fields[2]) == "kB" {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 44)
			return kib << 10, err == nil && kib >= 0
		}
	}
	return 0, false
}

// groupFiles are the files in which a version of control groups says what a group
// and those below it may use, and use.
type groupFiles struct {
	mount       string
	limit, used string
	cache       []string // keys of memory.stat: of what is used, files that the kernel can drop
}

// leftToGroups returns what is left to a group and to all that it is in, whichever
// is least; the largest int64 where none has a limit. In a container the name may be
// that of the host, of which the container sees only the upper end as its root.
func leftToGroups(root fs.FS, group string, files groupFiles) int64 {
	least := int64(math.MaxInt64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		dir := path.Join(files.mount, group)
		limit, limited := numberOf(contentOf(root, path.Join(dir, files.limit)))
		used, known := numberOf(contentOf(root, path.Join(dir, files.used)))
		if limited && known {
			for line := range strings.Lines(string(contentOf(root, path.Join(dir, "memory.stat")))) {
				key, value, _ := strings.Cut(line, " ")
				if n, ok := numberOf([]byte(value)); ok && slices.Contains(files.cache, key) {
					used -= n
				}
			}
			least = min(least, limit-max(0, used))
		}
		if group == "/" {
			return least
		}
	}
}

// contentOf returns a small file, or nothing where it cannot be read.
func contentOf(root fs.FS, name string) []byte {
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	return content
}

// numberOf reads a file that is one number; "max" is none.
func numberOf(content []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
	return n, err == nil && n >= 0
}
