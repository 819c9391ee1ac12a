package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSettings compares what the formulas take for settings with the sources that set them.
func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		file, name, value string
		want              any
		have              any
	}{
		{"mesh/member/gossip.go", "probeInterval", "500 * time.Millisecond", 500 * time.Millisecond, settings.probe},
		{"mesh/member/gossip.go", "pushPull", "30 * time.Second", 30 * time.Second, settings.pushPull},
		{"mesh/member/gossip.go", "retransmits", "5", 5.0, settings.retransmits},
		{"mesh/member/pace.go", "paceSlow", "10 * time.Second", 10 * time.Second, settings.tellAll},
		{"mesh/member/pace.go", "paceNode", "400 * time.Millisecond", 400 * time.Millisecond, settings.tellNode},
		{"mesh/room/core.go", "digestEvery", "5 * time.Second", 5 * time.Second, settings.digest},
		{"mesh/room/rank.go", "replicas", "3", 3.0, settings.replicas},
		{"mesh/route/row.go", "figuresEvery", "5 * time.Second", 5 * time.Second, settings.figures},
		{"mesh/route/row.go", "beatEvery", "30 * time.Second", 30 * time.Second, settings.beat},
		{"mesh/route/row.go", "maxMoved", "32", 32.0, settings.moved},
		{"relay/link/link.go", "idleTime", "5 * time.Minute", 5 * time.Minute, settings.idle},
		{"relay/shield/session.go", "activeSpan", "int64(time.Second)", time.Second, settings.reports},
	} {
		source, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(tt.file)))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^\s*(?:const )?` + tt.name + `\s*= (.*?)\s*(?://.*)?$`).FindSubmatch(source)
		if m == nil || string(m[1]) != tt.value || tt.want != tt.have {
			t.Errorf("%s has %s = %q; the reckoning takes %v for %s", tt.file, tt.name, m, tt.have, tt.value)
		}
	}
}

// some sizes, round ones, and an ordinary use.
var (
	round = sizes{
		probe: 300, update: 500, state: 500, idleLink: 500, busyLink: 4000, notice: 200, rowEntry: 30, digest: 10, create: 500,
		beats: 8, beatBytes: 150, change: 400, nodeMemory: 2000, linkMemory: 100e3, rowMemory: 200, recordMemory: 600, entryMemory: 700,
	}
	ordinary = use{occupied: 0.1, participants: 5, spread: 3, stay: 20 * time.Minute, changes: 4, life: time.Hour, drift: 1, record: 400, entry: 300}
)

func TestReckon(t *testing.T) {
	value := func(ts terms, name string) float64 {
		for _, x := range ts {
			if x.name == name {
				return x.value
			}
		}
		t.Fatalf("no term %s", name)
		return 0
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > want/100+1e-9 {
			t.Errorf("%s: %g, want %g", what, got, want)
		}
	}
	alone := reckon(round, ordinary, 1, 1000)
	near("links of a node alone", alone.links, 0)
	near("bytes/s of a node alone", alone.gossip.sum()+alone.control.sum(), 0)
	near("records of a node alone", value(alone.memory, "records"), 1000*600)
	near("rosters of a node alone", value(alone.memory, "rosters"), 100*5*700)

	few := reckon(round, ordinary, 3, 1_000_000)
	near("links of three", few.links, 2)
	near("records of three", value(few.memory, "records"), 1e6*600)
	near("probes", value(few.gossip, "probes"), 600)
	near("following keepers of three", value(few.control, "following keepers"), 2*(150+8*200))
	near("reports of three", value(few.control, "reports"), 2*3500)
	// Every change, 500,000 * 4 in 20 min, goes to two others.
	near("rosters of three", value(few.control, "rosters"), 500_000.0*4/1200/3*2*600)

	many := reckon(round, ordinary, 1000, 1_000_000)
	near("records of a thousand", value(many.memory, "records"), 1e6*3/1000*600)
	near("states", value(many.gossip, "push/pull"), 2*1000*500/(30.0*6))
	near("news", value(many.gossip, "news"), 1000/410.0*5*4*500)
	if double := reckon(round, ordinary, 1000, 2_000_000); double.gossip.sum() != many.gossip.sum() {
		t.Error("gossip grows with rooms")
	} else {
		near("twice the records", value(double.memory, "records"), 2*value(many.memory, "records"))
	}
	if idle := reckon(round, ordinary, 1000, 0); idle.links < 200 || idle.links > 300 {
		t.Errorf("%g links of a thousand nodes without a room: only records are compared", idle.links)
	}
	if got := append(many.gossip, many.control...).largest(); got != "reports" {
		t.Errorf("most of the bytes: %s", got)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-nodes", "x"}, {"-rooms", "-1"}, {"-unknown"}} {
		if run(t.Context(), args, &bytes.Buffer{}) == nil {
			t.Errorf("%v passes", args)
		}
	}
	for v, want := range map[float64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 12_345: "12.3 kB", 6e6: "6 MB", 7e12: "7e+03 GB"} {
		if got := format(v, "B"); got != want {
			t.Errorf("%g is written %s, want %s", v, got, want)
		}
	}
}

// TestRun measures and prints.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	s, err := measure(t.Context(), ordinary)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.list() {
		if !(m.value > 0) || math.IsInf(m.value, 0) {
			t.Errorf("%s: %g %s", m.name, m.value, m.unit)
		}
	}
	for what, ok := range map[string]bool{
		"metadata in news":    s.update > 300 && s.update < 800,
		"metadata in states":  s.state > 300 && s.state < 800,
		"an idle link":        s.idleLink > 100 && s.idleLink < s.busyLink,
		"an entry":            s.change > float64(ordinary.entry) && s.change < 1000,
		"a record in memory":  s.recordMemory > float64(ordinary.record) && s.recordMemory < 3000,
		"a record on the way": s.create > float64(ordinary.record) && s.create < 1000,
	} {
		if !ok {
			t.Errorf("%s: not within reason: %+v", what, s)
		}
	}
	var out strings.Builder
	if err := report(&out, s, ordinary, []float64{3, 1000}, []float64{0, 1e6}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "NaN") || strings.Count(out.String(), "\n") < 40 {
		t.Errorf("printed:\n%s", &out)
	}
}
