package mesh

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
)

// costSpan is how long a mesh is watched.
const costSpan = 20 * time.Second

// TestCost measures what gossip and control cost each node, idle and with 1,000 rooms that nobody is in, for the numbers of
// nodes that MESHCOST lists ("3 10 50"): bytes by the network namespace's loopback device, which carries nothing else, headers
// included, and CPU time of the processes.
func TestCost(t *testing.T) {
	sizes := strings.Fields(os.Getenv("MESHCOST"))
	if len(sizes) == 0 {
		t.Skip("takes minutes: MESHCOST=\"3 10 50\" runs it")
	}
	for _, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(text, func(t *testing.T) {
			w := newWorldOf(t, wan.Topology{Sites: []wan.SiteConfig{{Name: "one", Hosts: n}}}, []string{"one"}, n)
			time.Sleep(15 * time.Second) // what joining set off is over
			w.cost(t, "idle")
			c := w.nodes[0].open(t)
			h, err := c.Attach(within(t), caller.VideoRoom)
			if err != nil {
				t.Fatal(err)
			}
			for room := 1; room <= 1000; room++ {
				if _, err := h.Message(within(t), caller.M{"request": "create", "room": room}, nil); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(15 * time.Second)
			w.cost(t, "1,000 rooms")
		})
	}
}

// cost watches the mesh for a while and logs what it took.
func (w *world) cost(t *testing.T, state string) {
	t.Helper()
	bytesBefore, packetsBefore := w.loopback(t)
	cpuBefore := w.cpu(t)
	time.Sleep(costSpan)
	bytesNow, packetsNow := w.loopback(t)
	per := float64(len(w.nodes)) * costSpan.Seconds()
	t.Logf("%d nodes, %s: each sends %.0f bytes/s in %.0f packets/s and takes %.2f %% of a core", len(w.nodes), state,
		float64(bytesNow-bytesBefore)/per, float64(packetsNow-packetsBefore)/per, 100*(w.cpu(t)-cpuBefore).Seconds()/per)
}

// loopback returns what the first site's loopback device has sent.
func (w *world) loopback(t *testing.T) (sent, packets uint64) {
	t.Helper()
	out, err := w.network.Sites()[0].Command(t.Context(), "cat", "/proc/self/net/dev").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) > 10 && f[0] == "lo:" {
			sent, _ = strconv.ParseUint(f[9], 10, 64)
			packets, _ = strconv.ParseUint(f[10], 10, 64)
			return sent, packets
		}
	}
	t.Fatalf("no loopback device in %s", out)
	return 0, 0
}

// cpu returns the user and system time of all nodes.
func (w *world) cpu(t *testing.T) (sum time.Duration) {
	t.Helper()
	const tick = 10 * time.Millisecond // of /proc, on Linux
	for _, n := range w.nodes {
		n.mu.Lock()
		pid := n.command.Process.Pid
		n.mu.Unlock()
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, field := range f[11:13] { // utime, stime
			ticks, _ := strconv.ParseUint(field, 10, 32)
			sum += time.Duration(ticks) * tick //nolint:gosec // 32 bits
		}
	}
	return sum
}
