package measure

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every architecture Linux runs on today.
const clockTick = time.Second / 100

// Process is what /proc told of a process at one moment.
type Process struct {
	CPU     time.Duration // user and system time of all its threads, ended ones included; to 10 ms
	RSS     int64         // resident memory, bytes
	Threads int
}

// ReadProcess reads the figures of a process.
func ReadProcess(pid int) (Process, error) {
	return readProcess(filepath.Join("/proc", strconv.Itoa(pid)))
}

func readProcess(dir string) (p Process, err error) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return p, fmt.Errorf("process: %w", err)
	}
	if p, err = parseStat(string(stat)); err != nil {
		return p, err
	}
	// smaps_rollup is exact; the counters behind statm are batched per thread. Kernels may hide it from other users.
	if rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")); err == nil {
		if rss, err := parseRollup(rollup); err == nil {
			p.RSS = rss
		}
	}
	return p, nil
}

var errStat = errors.New("process: stat cannot be read")

// parseStat reads a line of /proc/PID/stat (proc_pid_stat(5)). The second field is the program's name in parentheses,
// which may hold spaces and parentheses itself.
func parseStat(line string) (p Process, err error) {
	const firstAfterName, userTime, systemTime, threads, rss = 3, 14, 15, 20, 24
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return p, errStat
	}
	fields := strings.Fields(line[end+1:])
	field := func(n int) (v int64) {
		if n -= firstAfterName; n >= len(fields) {
			err = errStat
			return 0
		}
		v, perr := strconv.ParseInt(fields[n], 10, 64)
		if perr != nil {
			err = fmt.Errorf("%w: %w", errStat, perr)
		}
		return v
	}
	p = Process{
		CPU:     time.Duration(field(userTime)+field(systemTime)) * clockTick,
		Threads: int(field(threads)),
		RSS:     field(rss) * int64(os.Getpagesize()),
	}
	return p, err
}

// parseRollup reads the line "Rss:  1234 kB" of /proc/PID/smaps_rollup.
func parseRollup(b []byte) (int64, error) {
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "Rss:")
		if !ok {
			continue
		}
		kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process: smaps_rollup: %w", err)
		}
		return kB << 10, nil
	}
	return 0, errors.New("process: smaps_rollup has no Rss")
}

// Own returns the user and system time that this process has used.
func Own() (time.Duration, error) {
	p, err := ReadProcess(os.Getpid())
	return p.CPU, err
}
