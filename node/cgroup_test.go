package node

import (
	"testing"
	"testing/fstest"
)

func TestCgroup(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	tests := []struct {
		name   string
		fsys   fstest.MapFS
		memory int64 // 0: no limit
		cpus   float64
		heap   int64 // what the Go heap is kept below
	}{
		{name: "no control groups", fsys: fstest.MapFS{"proc/meminfo": file("MemTotal:       1000 kB\nMemFree: 5 kB\n")}, heap: 1000 << 10 / 10 * 9},
		{name: "nothing known", fsys: fstest.MapFS{}},
		{name: "version 2, a container's own root", fsys: fstest.MapFS{
			"proc/self/cgroup":         file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("1000000\n"),
			"sys/fs/cgroup/cpu.max":    file("150000 100000\n"),
			"proc/meminfo":             file("MemTotal: 4000000 kB\n"),
		}, memory: 1000000, cpus: 1.5, heap: 900000},
		{name: "version 2, the tightest of all levels", fsys: fstest.MapFS{
			"proc/self/cgroup":                           file("0::/a.slice/b.service\n"),
			"sys/fs/cgroup/a.slice/memory.max":           file("500000\n"),
			"sys/fs/cgroup/a.slice/b.service/memory.max": file("max\n"),
			"sys/fs/cgroup/a.slice/b.service/cpu.max":    file("400000 100000\n"),
			"sys/fs/cgroup/a.slice/cpu.max":              file("max 100000\n"),
		}, memory: 500000, cpus: 4, heap: 450000},
		{name: "version 1", fsys: fstest.MapFS{
			"proc/self/cgroup": file("12:cpu,cpuacct:/x\n5:memory:/x\n1:name=systemd:/x\n0::/\n"),
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": file("2000\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   file("9223372036854771712\n"),
			"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us":         file("50000\n"),
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us":        file("100000\n"),
		}, memory: 2000, cpus: 0.5, heap: 1800},
		{name: "version 1 without limits", fsys: fstest.MapFS{
			"proc/self/cgroup":                           file("5:memory:/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         file("-1\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":        file("100000\n"),
			"proc/meminfo":                               file("MemTotal: 1000 kB\n"),
		}, heap: 1000 << 10 / 10 * 9},
		{name: "rubbish", fsys: fstest.MapFS{
			"proc/self/cgroup":         file("::\n0::../../etc\nx\n"),
			"sys/fs/cgroup/memory.max": file("many\n"),
			"sys/fs/cgroup/cpu.max":    file("0 0\n"),
			"proc/meminfo":             file("MemTotal: lots kB\n"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := cgroup{tt.fsys}
			if n, ok := g.memory(); ok != (tt.memory != 0) || ok && n != tt.memory {
				t.Errorf("memory %d, %v", n, ok)
			}
			if n, ok := g.cpus(); ok != (tt.cpus != 0) || ok && n != tt.cpus {
				t.Errorf("cpus %v, %v", n, ok)
			}
			if n := memoryLimit(tt.fsys); n != tt.heap {
				t.Errorf("heap %d, want %d", n, tt.heap)
			}
		})
	}
}
