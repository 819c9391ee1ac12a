package node

import (
	"bufio"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// cgroup reads the limits of the control group this process is in; fsys is the root of the file system.
// Version 2 is asked first, then version 1, as on older distributions.
type cgroup struct {
	fsys fs.FS
}

// memory returns the memory limit in bytes, ok when there is one.
func (g cgroup) memory() (limit int64, ok bool) {
	limit = math.MaxInt64
	for _, dir := range g.directories("") {
		if n, found := g.number(path.Join("sys/fs/cgroup", dir, "memory.max")); found {
			limit = min(limit, n)
		}
	}
	for _, dir := range g.directories("memory") {
		if n, found := g.number(path.Join("sys/fs/cgroup/memory", dir, "memory.limit_in_bytes")); found {
			limit = min(limit, n)
		}
	}
	return limit, limit < 1<<60 // version 1 says "none" with a number near the largest
}

// cpus returns the quota in cores, ok when there is one.
func (g cgroup) cpus() (cores float64, ok bool) {
	cores = math.Inf(1)
	for _, dir := range g.directories("") {
		f := strings.Fields(g.read(path.Join("sys/fs/cgroup", dir, "cpu.max"))) // "max 100000" or "150000 100000"
		if len(f) == 2 {
			cores = min(cores, ratio(f[0], f[1]))
		}
	}
	for _, dir := range g.directories("cpu") {
		dir = path.Join("sys/fs/cgroup/cpu", dir)
		cores = min(cores, ratio(strings.TrimSpace(g.read(path.Join(dir, "cpu.cfs_quota_us"))), strings.TrimSpace(g.read(path.Join(dir, "cpu.cfs_period_us")))))
	}
	return cores, !math.IsInf(cores, 1)
}

// ratio returns quota/period, infinite when there is no quota.
func ratio(quota, period string) float64 {
	q, err1 := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return math.Inf(1)
	}
	return q / p
}

// directories returns the process's directory in the hierarchy of a controller ("" for version 2) and all above it: the
// limits of each apply. Inside a container the path may be the host's; the root is then the only one that exists.
func (g cgroup) directories(controller string) []string {
	all := []string{"."}
	scanner := bufio.NewScanner(strings.NewReader(g.read("proc/self/cgroup")))
	for scanner.Scan() {
		parts := strings.SplitN(scanner.Text(), ":", 3) // hierarchy:controllers:path
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			if c != controller || (c == "") != (parts[0] == "0") {
				continue
			}
			for dir := strings.Trim(path.Clean(parts[2]), "/"); dir != "" && dir != "."; dir = strings.Trim(path.Dir(dir), "/") {
				all = append(all, dir)
			}
		}
	}
	return all
}

func (g cgroup) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(g.read(name)), 10, 64)
	return n, err == nil
}

// read returns the contents of a file, nothing when it cannot be read: what is not there sets no limit.
func (g cgroup) read(name string) string {
	if !fs.ValidPath(name) {
		return ""
	}
	b, err := fs.ReadFile(g.fsys, name)
	if err != nil {
		return ""
	}
	return string(b)
}

// machineMemory returns the memory of the machine in bytes, 0 when it is not known.
func machineMemory(fsys fs.FS) int64 {
	for line := range strings.Lines(cgroup{fsys}.read("proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// memoryLimit returns what the Go heap should be kept below: 90 % of what the process may have, 0 when that is not known.
func memoryLimit(fsys fs.FS) int64 {
	memory := machineMemory(fsys)
	if limit, ok := (cgroup{fsys}).memory(); ok && (memory == 0 || limit < memory) {
		memory = limit
	}
	return memory / 10 * 9
}

// root is the file system the kernel's files are read from.
func root() fs.FS { return os.DirFS("/") }
