package rtc

import (
	"net/netip"
	"testing"
	"time"

	"cardea/relay/ice"
)

// network carries datagrams between agents at once, in virtual time.
type network struct {
	agents map[netip.AddrPort]*agent
	queue  []datagram
	sent   int
	drop   func(from, to netip.AddrPort) bool
}

type datagram struct {
	b        []byte
	from, to netip.AddrPort
}

func (n *network) add(address string) (*agent, netip.AddrPort) {
	addr := netip.MustParseAddrPort(address)
	a := newAgent(func(b []byte, to netip.AddrPort) {
		n.sent++
		if n.drop == nil || !n.drop(addr, to) {
			n.queue = append(n.queue, datagram{append([]byte(nil), b...), addr, to})
		}
	})
	n.agents[addr] = a
	return a, addr
}

// run lets time pass in steps of 10 ms.
func (n *network) run(from, until time.Duration) {
	for now := int64(from); now <= int64(until); now += int64(10 * time.Millisecond) {
		for _, a := range n.agents {
			a.tick(now)
		}
		for len(n.queue) > 0 {
			d := n.queue[0]
			n.queue = n.queue[1:]
			if a := n.agents[d.to]; a != nil {
				a.handle(d.b, d.from, now)
			}
		}
	}
}

func TestAgent(t *testing.T) {
	const unreachable = "192.0.2.9:9"
	tests := []struct {
		name          string
		first, second bool // controlling
		drop          func(from, to netip.AddrPort) bool
	}{
		{"controlling", true, false, nil},
		{"controlled", false, true, nil},
		{"first checks lost", true, false, dropFirst(5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := &network{agents: map[netip.AddrPort]*agent{}, drop: tt.drop}
			a, addrA := n.add("192.0.2.1:1000")
			b, addrB := n.add("192.0.2.2:2000")
			a.start(b.ufrag, b.pwd, tt.first, 0)
			b.start(a.ufrag, a.pwd, tt.second, 0)
			a.addRemote(netip.MustParseAddrPort(unreachable), 0)
			a.addRemote(addrB, 0)
			a.addRemote(addrB, 0)
			// b learns of a by its checks alone.
			n.run(0, time.Second)
			if a.selected != addrB || b.selected != addrA {
				t.Fatalf("selected %v and %v", a.selected, b.selected)
			}
			before := n.sent
			n.run(time.Second, 11*time.Second)
			if k := n.sent - before; k < 10 || k > 24 { // a check and its answer every 2.5 s, both ways
				t.Errorf("%d messages in 10 s for consent", k)
			}
		})
	}
}

func dropFirst(n int) func(_, _ netip.AddrPort) bool {
	return func(_, _ netip.AddrPort) bool { n--; return n >= 0 }
}

// TestAgentRefuses sends what must not be answered, or change anything.
func TestAgentRefuses(t *testing.T) {
	n := &network{agents: map[netip.AddrPort]*agent{}}
	a, _ := n.add("192.0.2.1:1000")
	stranger, addr := n.add("192.0.2.3:3000")
	a.start("ufrag", "password-that-nobody-has", true, 0)
	for _, pwd := range []string{"wrong", ""} {
		stranger.start(a.ufrag, pwd, false, 0)
		stranger.addRemote(netip.MustParseAddrPort("192.0.2.1:1000"), 0)
		n.run(0, time.Second)
	}
	if a.find(addr) != nil || a.selected.IsValid() || stranger.selected.IsValid() {
		t.Error("a check with the wrong password counts")
	}
	for i := range 100 {
		a.addRemote(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.4"), uint16(i)), 0)
	}
	if len(a.remotes) != maxRemotes {
		t.Errorf("%d remotes", len(a.remotes))
	}
}

// TestRoleConflict wants the role changed when the server says so.
func TestRoleConflict(t *testing.T) {
	var sent []byte
	a := newAgent(func(b []byte, _ netip.AddrPort) { sent = append([]byte(nil), b...) })
	a.start("ufrag", "password", true, 0)
	server := netip.MustParseAddrPort("192.0.2.2:2000")
	a.addRemote(server, 0)
	a.tick(0)
	var m ice.Message
	if err := ice.Parse(sent, &m); err != nil || !m.Controlling || !m.UseCandidate || !m.Authentic(ice.NewKey("password")) {
		t.Fatalf("check %+v %v", m, err)
	}
	a.handle(ice.AppendFailure(nil, &m, ice.CodeRoleConflict, ice.NewKey("password")), server, 0)
	a.tick(1)
	if err := ice.Parse(sent, &m); err != nil || !m.Controlled || m.UseCandidate {
		t.Errorf("check after the conflict: %+v %v", m, err)
	}
}
