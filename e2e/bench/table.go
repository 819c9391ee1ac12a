package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figures are what the table shows of the measurements of a contestant with a number of subscribers: medians over the rounds.
type figures struct {
	cpu, memory, first50, first95, delay50, delay99, loss, generator float64
}

func summarize(results []result, contestant string, subscribers int) (f figures) {
	var of []result
	for _, r := range results {
		if r.contestant == contestant && r.subscribers == subscribers && r.Server != nil {
			of = append(of, r)
		}
	}
	median := func(value func(r result) float64) float64 {
		values := make([]float64, len(of))
		for i, r := range of {
			values[i] = value(r)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	if len(of) == 0 {
		return f
	}
	return figures{
		cpu:       median(func(r result) float64 { return r.Server.CPUNSPerPacket / 1e3 }),
		memory:    median(func(r result) float64 { return r.Server.MemoryPerSubscriber / 1024 }),
		first50:   median(func(r result) float64 { return r.FirstFrame.FromJoin.P50 }),
		first95:   median(func(r result) float64 { return r.FirstFrame.FromJoin.P95 }),
		delay50:   median(func(r result) float64 { return r.Delay.P50 }),
		delay99:   median(func(r result) float64 { return r.Delay.P99 }),
		loss:      median(func(r result) float64 { return r.Packets.LossPercent }),
		generator: median(func(r result) float64 { return r.Generator.CPUShare * 100 }),
	}
}

// writeTable prints what was measured. In parentheses is how many times the first contestant's figure it is.
func writeTable(w io.Writer, s settings, all []contestant, results []result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n1 publisher (VP8 2 Mbit/s in bursts every 5 ms, Opus), subscribers joining at %d/s, %s each", joinsPerSecond, s.duration)
	if s.rounds > 1 {
		fmt.Fprintf(&b, ", medians of %d rounds", s.rounds)
	}
	fmt.Fprintf(&b, ".\nServer, generator and both ends of every socket on one machine: %s. GOGC %s.\nIn parentheses: times %s's, of first frame the p95, of delay the p99.\n\n",
		machine(), cmp.Or(os.Getenv("GOGC"), "100"), all[0].name)
	b.WriteString("| server | subscribers | CPU per forwarded packet | memory per subscriber | first frame p50 / p95 | delay p50 / p99 | lost | generator's CPU |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, n := range s.subscribers {
		own := summarize(results, all[0].name, n)
		for i, c := range all {
			f := summarize(results, c.name, n)
			times := func(value, base float64) string {
				if i == 0 || base <= 0 {
					return ""
				}
				return fmt.Sprintf(" (%.1f)", value/base)
			}
			fmt.Fprintf(&b, "| %s | %d | %.1f us%s | %.0f KiB%s | %.0f / %.0f ms%s | %.2f / %.2f ms%s | %.2f %% | %.0f %% of a core |\n", c.name, n,
				f.cpu, times(f.cpu, own.cpu), f.memory, times(f.memory, own.memory), f.first50, f.first95, times(f.first95, own.first95),
				f.delay50, f.delay99, times(f.delay99, own.delay99), f.loss, f.generator)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// machine describes where this was measured.
func machine() string {
	model := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(info), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			model = strings.TrimSpace(strings.TrimLeft(line, "\t: "))
		}
	}
	kernel := runtime.GOOS
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(release))
	}
	return fmt.Sprintf("%d x %s, %s, %s, %s", runtime.NumCPU(), model, kernel, runtime.Version(), time.Now().Format(time.DateOnly))
}
