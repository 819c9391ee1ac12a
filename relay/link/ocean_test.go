package link

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// sinceBubblesBegin brings a synctest bubble's clock, which begins in 2000, past the start of the process, before which quic-go's clock is negative.
const sinceBubblesBegin = 40 * 365 * 24 * time.Hour

// watch is a sink that counts what came in time; packets carry when they left.
type watch struct {
	mu              sync.Mutex
	from            int64
	arrived, intime int
}

func (w *watch) Forward(burst []*stream.Packet, _ int64, _ *udp.Outbox) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range burst {
		if p.Seq < w.from {
			continue
		}
		w.arrived++
		if now.UnixNano()-int64(binary.BigEndian.Uint64(p.Payload[16:])) <= int64(135*time.Millisecond) {
			w.intime++
		}
	}
}

func (w *watch) Layers(int64) uint8 { return 1 }

// voyage is one phase of a crossing.
type voyage struct {
	phase                     string
	intime, arrived, overhead float64
	window, carriers          uint64
}

// cross carries 20 Mbit/s of RTP packets of 1,250 bytes from one node's stream to another's over 150 ms of round trip: cold for the first
// seconds, then what counts, then again after ten minutes of silence.
func cross(t *testing.T, share, burst float64, measure time.Duration) (out []voyage) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(sinceBubblesBegin)
		const rate, size, atOnce = 20e6, 1250, 7
		there, back := newOcean(1, 75*time.Millisecond, share, burst), newOcean(2, 75*time.Millisecond, share, burst)
		began := time.Now()
		clock := func(c *Config) { c.Clock.Now = func() int64 { return int64(time.Since(began)) + 1 } }
		c := newCluster(t)
		a := c.on(newBoat("10.0.0.1:7947", there, back), clock)
		b := c.on(newBoat("10.0.0.2:7947", back, there), clock)
		s := stream.New(config(plane.Video, 1, false))
		next, _, _ := hop(t, a, b, s, 1)
		w := &watch{}
		next.AddSink(w)
		l := a.to(t, b)
		seq := int64(0)
		offer := func(d time.Duration) {
			start := time.Now()
			gap := time.Duration(float64(atOnce*size*8) / rate * 1e9)
			for i := 1; time.Since(start) < d; i++ {
				for range atOnce {
					payload := s.Reserve(0, size-rtp.HeaderSize)
					clear(payload)
					payload[0], payload[1] = 0x10, 1 // VP8, an interframe
					binary.BigEndian.PutUint64(payload[16:], uint64(time.Now().UnixNano()))
					h := rtp.Header{PayloadType: 96, SequenceNumber: uint16(seq), SSRC: 1, Timestamp: uint32(time.Since(began) * 90 / time.Millisecond)}
					s.Commit(0, &h, seq, len(payload), a.cfg.Clock.Now(), false)
					seq++
				}
				s.Flush(a.cfg.Clock.Now(), nil)
				time.Sleep(time.Until(start.Add(time.Duration(i) * gap)))
			}
		}
		for _, phase := range []struct {
			name string
			wait time.Duration
			d    time.Duration
		}{{"cold", 0, 12 * time.Second}, {"warm", 0, measure}, {"10 min idle", 10 * time.Minute, measure}} {
			time.Sleep(phase.wait)
			w.mu.Lock()
			w.from, w.arrived, w.intime = seq, 0, 0
			w.mu.Unlock()
			first := seq
			offer(phase.d)
			time.Sleep(time.Second)
			st := l.Stats()
			w.mu.Lock()
			n := float64(seq - first)
			out = append(out, voyage{
				phase: phase.name, intime: float64(w.intime) / n, arrived: float64(w.arrived) / n, overhead: l.Row().Overhead, window: st.Window, carriers: st.Carriers,
			})
			w.mu.Unlock()
		}
		a.stop()
		b.stop()
		there.close()
		back.close()
	})
	return out
}

var weathers = []struct {
	name               string
	share, burst, goal float64
}{{"1 % independent", 0.01, 1, 0.999}, {"3 % independent", 0.03, 1, 0.995}, {"1 % in bursts of 5", 0.01, 5, 0.995}}

// TestOcean has a link carry what the shield's test of that name has it carry, from stream to stream, with all that a link does by itself: being padded and
// dialled again.
func TestOcean(t *testing.T) {
	full := os.Getenv("OCEAN") != ""
	chosen, measure := weathers[:1], 3*time.Second
	if full {
		chosen, measure = weathers, 20*time.Second
	}
	var out strings.Builder
	fmt.Fprintln(&out, "20 Mbit/s of RTP packets of 1,250 bytes from stream to stream over a link, 150 ms round trip; in time is 75 + 60 ms")
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "loss\tphase\tin time\tarrived\toverhead so far\twindow\tmore connections\t")
	for _, w := range chosen {
		for _, v := range cross(t, w.share, w.burst, measure) {
			fmt.Fprintf(table, "%s\t%s\t%.3f %%\t%.3f %%\t%.1f %%\t%d kB\t%d\t\n", w.name, v.phase, 100*v.intime, 100*v.arrived, 100*v.overhead, v.window/1000, v.carriers)
			if v.phase != "cold" && v.intime < w.goal {
				t.Errorf("%s, %s: %.3f %% in time", w.name, v.phase, 100*v.intime)
			}
		}
	}
	table.Flush()
	if full {
		fmt.Println(out.String())
	} else {
		t.Log("\n" + out.String())
	}
}
