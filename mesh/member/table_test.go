package member

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	s := newSigner(t)
	b, c := s.another(t), s.another(t)
	now := time.Now()
	table := newTable(idOf(s.public()), func() *authority { return s.a }, func() time.Time { return now })
	home, links := netip.MustParseAddrPort("192.0.2.1:7946"), netip.MustParseAddrPort("192.0.2.1:7947")
	node := Node{Links: []netip.AddrPort{links}, Gossip: []netip.AddrPort{home}, Name: "b"}
	id := idOf(b.public())
	raw := func(seq uint64) []byte { return b.metadata(node, seq, 1) }

	if err := table.admit(id, netip.MustParseAddrPort("192.0.2.2:7946"), raw(1)); !errors.Is(err, errNoHome) {
		t.Errorf("at another address: %v", err)
	}
	if err := table.admit(idOf(c.public()), home, raw(1)); err == nil {
		t.Error("under another name")
	}
	if err := table.admit(id, home, raw(5)); err != nil {
		t.Fatal(err)
	}
	if err := table.admit(id, netip.MustParseAddrPort("192.0.2.2:7946"), raw(5)); !errors.Is(err, errNoHome) {
		t.Errorf("what is known, at another address: %v", err)
	}
	if _, ok := table.node(id); ok {
		t.Error("there before gossip has taken it")
	}
	if n, fresh, ok := table.arrived(id, raw(5)); !ok || !fresh || n.Name != "b" || len(table.live()) != 1 || !table.has(home.Addr()) || table.sequence(id) != 5 {
		t.Errorf("%+v %v", n, ok)
	}
	if err := table.admit(id, home, raw(4)); !errors.Is(err, errStale) {
		t.Errorf("old news: %v", err)
	}
	if err := table.admit(id, home, raw(6)); err != nil {
		t.Error(err)
	}
	if err := table.admit(id, home, raw(5)); err != nil { // gossip did not take 6 yet
		t.Errorf("what is in use: %v", err)
	}
	if _, fresh, ok := table.arrived(id, raw(6)); !ok || fresh || table.sequence(id) != 6 {
		t.Errorf("sequence %d", table.sequence(id))
	}
	if _, ok := table.left(id); !ok || len(table.live()) != 0 || table.has(home.Addr()) {
		t.Error("it is still there")
	}
	if _, ok := table.left(id); ok {
		t.Error("it left twice")
	}
	if err := table.admit(id, home, raw(5)); !errors.Is(err, errStale) {
		t.Errorf("old news of who is gone: %v", err)
	}
	now = now.Add(remember + time.Second)
	if _, ok := table.left(idOf(c.public())); ok {
		t.Error("somebody unknown left")
	}
	for i := range maxNodes {
		table.all[testID(i)] = &entry{gone: now}
	}
	node.Name = "c"
	if err := table.admit(idOf(c.public()), home, c.metadata(node, 1, 1)); !errors.Is(err, errCrowd) {
		t.Errorf("one too many: %v", err)
	}
	now = now.Add(remember + time.Second)
	if err := table.admit(idOf(c.public()), home, c.metadata(node, 1, 1)); err != nil || len(table.all) != 1 {
		t.Errorf("when the others are forgotten: %d, %v", len(table.all), err)
	}
}
