package member

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"cardea/relay/link"
)

func testID(n int) link.NodeID { return idFrom([]byte(fmt.Sprintf("%010d", n))) }

func testPeer(n int, seen time.Time) peer {
	a := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
	return peer{ID: testID(n), Links: []netip.AddrPort{netip.AddrPortFrom(a, 7947)}, Gossip: []netip.AddrPort{netip.AddrPortFrom(a, 7946)}, Seen: seen}
}

func (p peer) node() Node { return Node{ID: p.ID, Links: p.Links, Gossip: p.Gossip} }

// TestPeersDue calls for an hour on a node that is away.
func TestPeersDue(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		name         string
		live         int
		first, whole [2]int // calls in the first minute and the first hour: least, most
	}{
		{"alone", 1, [2]int{20, 40}, [2]int{300, 700}},
		{"one of three", 2, [2]int{20, 40}, [2]int{80, 300}},
		{"one of a hundred", 99, [2]int{2, 8}, [2]int{20, 80}},
	} {
		p := newPeers([]peer{testPeer(0, now)})
		live := map[link.NodeID]Node{}
		for i := range tt.live {
			live[testID(i+1)] = testPeer(i+1, now).node()
		}
		calls := [2]int{}
		for at := now; at.Before(now.Add(time.Hour)); at = at.Add(tick) {
			for _, k := range p.due(live, at) {
				if more := p.due(live, at.Add(time.Hour)); len(more) != 0 {
					t.Fatalf("%s: called twice at once", tt.name)
				}
				p.called(k, len(live), at)
				calls[1]++
				if at.Sub(now) < time.Minute {
					calls[0]++
				}
			}
		}
		for i, want := range [][2]int{tt.first, tt.whole} {
			if calls[i] < want[0] || calls[i] > want[1] {
				t.Errorf("%s: %d calls, want %v", tt.name, calls[i], want)
			}
		}
	}
}

// TestPeersMissing wants those called who are not there, few at once, and those first who were not called yet.
func TestPeersMissing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := newPeers([]peer{testPeer(1, now), testPeer(2, now), {ID: "nonsense", Links: testPeer(3, now).Links}, {ID: testID(4)}})
	live := map[link.NodeID]Node{testID(1): testPeer(1, now).node()}
	due := p.due(live, now)
	if len(due) != 1 || due[0].ID != testID(2) {
		t.Fatalf("due: %+v", due)
	}
	p.met(due[0], now)
	if due := p.due(live, now.Add(time.Second)); len(due) != 0 {
		t.Errorf("called again at once: %+v", due)
	}
	p.setSeeds([]netip.AddrPort{testPeer(1, now).Links[0], testPeer(9, now).Links[0], testPeer(1, now).Gossip[0]})
	due = p.due(live, now)
	if len(due) != 1 || due[0].ID != "" || due[0].Links[0] != testPeer(9, now).Links[0] {
		t.Errorf("seeds: %+v", due)
	}
	p.called(due[0], 1, now)
	p.setSeeds([]netip.AddrPort{testPeer(9, now).Links[0]})
	if due := p.due(live, now); len(due) != 0 {
		t.Error("looking a seed up anew forgets that it was called")
	}
	for i := range 20 {
		p.saw(&Node{ID: testID(100 + i), Links: testPeer(100+i, now).Links}, now)
	}
	if due := p.due(live, now.Add(time.Hour)); len(due) != callAtOnce {
		t.Errorf("%d calls at once", len(due))
	}
}

// TestPeersBounded sees more nodes than are remembered.
func TestPeersBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := newPeers(nil)
	for i := range 2 * maxPeers {
		k := testPeer(i, now)
		p.saw(&Node{ID: k.ID, Links: k.Links, Gossip: k.Gossip}, now.Add(time.Duration(i)*time.Second))
	}
	if kept := p.kept(); len(kept) != maxPeers {
		t.Errorf("%d remembered", len(kept))
	}
	if p.byID[testID(0)] != nil || p.byID[testID(2*maxPeers-1)] == nil {
		t.Error("the wrong ones are forgotten")
	}
	p.saw(&Node{ID: testID(9999), Links: testPeer(1, now).Links}, now.Add(2*forgetAfter))
	if len(p.byID) != 1 {
		t.Errorf("%d remembered after long", len(p.byID))
	}
	var many []netip.AddrPort
	for i := range 2 * maxPeers {
		many = append(many, testPeer(i, now).Links...)
	}
	if p.setSeeds(many); len(p.seeds) != maxPeers {
		t.Errorf("%d seeds", len(p.seeds))
	}
}
