package mesh

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"cardea/mesh/member"
	"cardea/relay/link"
)

// TestDialFails dials a node that there is none of: the first failure is news, the next are not, and it is none where the other side has made a
// link meanwhile.
func TestDialFails(t *testing.T) {
	at := netip.MustParseAddr("127.0.8.90")
	cluster, err := member.Open(t.Context(), member.Config{Bind: at, GossipPort: 7946, LinkPort: 7947})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{Cluster: cluster, Listen: []netip.AddrPort{netip.AddrPortFrom(at, 7947)}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.serving, m.quit = context.WithCancel(t.Context())
	defer m.quit()
	for i, news := range []int{1, 0} {
		m.dial("nobody")
		m.dials.Wait()
		if _, cut := m.reach("nobody"); !cut {
			t.Error("not out of reach")
		}
		m.dials.Wait()
		if len(m.touched) != news {
			t.Errorf("attempt %d: %d news", i, len(m.touched))
		}
		if news > 0 {
			<-m.touched
		}
	}
	clear(m.failed)
	m.live["nobody"] = new(link.Link)
	m.dial("nobody")
	m.dials.Wait()
	if len(m.failed) != 0 || len(m.touched) != 0 {
		t.Error("a node with a link is out of reach")
	}
	delete(m.live, "nobody")
	m.dialing["nobody"] = time.Now() // the link is on its way, for the whole of what follows
	m.roundabout("nobody")
	if _, cut := m.reach("nobody"); !cut {
		t.Error("who speaks by way of others is not answered so at once")
	}
	if len(m.failed) != 0 || len(m.touched) != 0 {
		t.Error("it counts as out of reach though its link may be on its way")
	}
}
