package data

import (
	"testing"
	"testing/fstest"
)

func TestMemAvailableIsReadFromMeminfo(t *testing.T) {
	text := "MemTotal:       16000000 kB\nMemFree:         1000 kB\nMemAvailable:    2000 kB\nBuffers: 1 kB\n"
	if n, ok := memAvailable([]byte(text)); n != 2000<<10 || !ok {
		t.Errorf("found %d, %v, want %d", n, ok, 2000<<10)
	}
	for _, text := range []string{"", "MemFree: 1 kB\n", "MemAvailable: many kB\n", "MemAvailable: -5 kB\n"} {
		if n, ok := memAvailable([]byte(text)); ok {
			t.Errorf("%q: found %d, want nothing", text, n)
		}
	}
	if n := AvailableMemory(); n <= 0 {
		t.Errorf("%d bytes available", n)
	}
}

// Of the machine and of every control group that the process is in, whichever has least
// left decides.
func TestLeastLimitIsTheMemoryAvailable(t *testing.T) {
	const (
		v1    = "sys/fs/cgroup/memory/"
		v2    = "sys/fs/cgroup/"
		mixed = "12:pids:/\n4:memory:/batch/job7\n1:name=systemd:/\n0::/\n"
	)
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing known", nil, 8 << 30},
		{"machine alone", map[string]string{}, 10240},
		{"no limit", map[string]string{"proc/self/cgroup": "0::/user\n", v2 + "user/memory.max": "max\n", v2 + "user/memory.current": "9000\n"}, 10240},
		{"own group", map[string]string{"proc/self/cgroup": "0::/user/app\n", v2 + "user/app/memory.max": "6000\n", v2 + "user/app/memory.current": "1000\n"}, 5000},
		{"group above", map[string]string{"proc/self/cgroup": "0::/user/app\n", v2 + "user/app/memory.max": "6000\n", v2 + "user/app/memory.current": "1000\n",
			v2 + "user/memory.max": "7000\n", v2 + "user/memory.current": "5000\n"}, 2000},
		{"machine has less", map[string]string{"proc/self/cgroup": "0::/user\n", v2 + "user/memory.max": "600000\n", v2 + "user/memory.current": "1000\n"}, 10240},
		{"container, where the group is the root", map[string]string{"proc/self/cgroup": "0::/\n", v2 + "memory.max": "6000\n", v2 + "memory.current": "1500\n"}, 4500},
		{"group outside of the container", map[string]string{"proc/self/cgroup": "0::/../../other\n", v2 + "memory.max": "6000\n", v2 + "memory.current": "1500\n", "sys/other/memory.max": "1\n", "sys/other/memory.current": "0\n"}, 4500},
		{"name with a colon", map[string]string{"proc/self/cgroup": "0::/a:b\n", v2 + "a:b/memory.max": "6000\n", v2 + "a:b/memory.current": "1500\n"}, 4500},
		{"files in the cache can be dropped", map[string]string{"proc/self/cgroup": "0::/a\n", v2 + "a/memory.max": "6000\n", v2 + "a/memory.current": "5500\n",
			v2 + "a/memory.stat": "anon 900\nfile 4600\nshmem 600\nactive_file 1000\ninactive_file 3000\n"}, 4500},
		{"beyond the limit", map[string]string{"proc/self/cgroup": "0::/a\n", v2 + "a/memory.max": "6000\n", v2 + "a/memory.current": "6500\n"}, 0},
		{"version 1", map[string]string{"proc/self/cgroup": mixed, v1 + "batch/job7/memory.limit_in_bytes": "6000\n", v1 + "batch/job7/memory.usage_in_bytes": "4000\n",
			v1 + "batch/job7/memory.stat": "inactive_file 1\ntotal_inactive_file 500\ntotal_active_file 100\n"}, 2600},
		{"version 1, group above", map[string]string{"proc/self/cgroup": mixed, v1 + "batch/job7/memory.limit_in_bytes": "9223372036854771712\n", v1 + "batch/job7/memory.usage_in_bytes": "4000\n",
			v1 + "memory.limit_in_bytes": "7000\n", v1 + "memory.usage_in_bytes": "4000\n"}, 3000},
		{"version 1 beside other controllers", map[string]string{"proc/self/cgroup": "4:cpu,memory:/a\n", v1 + "a/memory.limit_in_bytes": "6000\n", v1 + "a/memory.usage_in_bytes": "4000\n"}, 2000},
		{"damaged", map[string]string{"proc/self/cgroup": "0:\nmemory\n0::/a\n", v2 + "a/memory.max": "\n", v2 + "a/memory.current": "many\n"}, 10240},
	}
	for _, tt := range tests {
		root := fstest.MapFS{}
		for name, content := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if tt.files != nil {
			root["proc/meminfo"] = &fstest.MapFile{Data: []byte("MemAvailable: 10 kB\n")}
		}
		if found := availableMemory(root); found != tt.want {
			t.Errorf("%s: found %d, want %d", tt.name, found, tt.want)
		}
	}
}
