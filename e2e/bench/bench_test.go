package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cardea/e2e/load"
)

func TestParse(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "cardea")
	if err := os.WriteFile(bin, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := parse([]string{"--bin", bin, "--subscribers", " 10, 50 100", "--duration", "5s"})
	if err != nil || !slices.Equal(s.subscribers, []int{10, 50, 100}) || s.duration != 5*time.Second || s.rounds != 1 {
		t.Errorf("%+v %v", s, err)
	}
	for _, bad := range []string{"--subscribers x", "--subscribers 0", "--subscribers ,", "--rounds 0", "--bin nowhere/cardea", "--what"} {
		if _, err := parse(append([]string{"--bin", bin}, strings.Fields(bad)...)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestConfigureJanus(t *testing.T) {
	dir := t.TempDir()
	if err := configureJanus(dir, netip.MustParseAddr("192.0.2.7"), "\tevent_loops = 2"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jcfg"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v %v", files, err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, want := range []string{dir, "192.0.2.7", "ws_port = 28188", "event_loops = 2", janusPorts} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(all.String(), "@") {
		t.Errorf("left to fill in:\n%s", all.String())
	}
}

// TestTable wants medians over rounds, and ratios to the first contestant.
func TestTable(t *testing.T) {
	report := func(contestant string, cpu, memory, first float64) result {
		r := result{contestant: contestant, subscribers: 100}
		r.Server = &load.Server{CPUNSPerPacket: cpu, MemoryPerSubscriber: memory}
		r.FirstFrame.FromJoin = load.Quantiles{P50: first / 2, P95: first}
		return r
	}
	results := []result{
		report("Cardea", 5000, 102400, 50), report("Janus", 30000, 512000, 400),
		report("Cardea", 9000, 999999, 90), report("Janus", 10000, 1, 100),
		report("Cardea", 4000, 1, 40), report("Janus", 20000, 204800, 200),
	}
	var b strings.Builder
	s := settings{subscribers: []int{100}, duration: time.Second, rounds: 3}
	if err := writeTable(&b, s, []contestant{{name: "Cardea"}, {name: "Janus"}}, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"medians of 3 rounds",
		"| Cardea | 100 | 5.0 us | 100 KiB | 25 / 50 ms |",
		"| Janus | 100 | 20.0 us (4.0) | 200 KiB (2.0) | 100 / 200 ms (4.0) |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
