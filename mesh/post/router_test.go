package post

import (
	"slices"
	"testing"
	"time"

	"cardea/relay/link"
)

func TestRouter(t *testing.T) {
	self, a, b, c, out := "self", testAddress("a"), testAddress("b"), testAddress("c"), testAddress("out")
	members := []link.NodeID{nodeID(self), a.id(), b.id(), c.id()}
	ways := map[link.NodeID]link.NodeID{b.id(): b.id(), c.id(): a.id()}
	r := router{
		self:   testAddress(self),
		member: func(id link.NodeID) bool { return slices.Contains(members, id) },
		next:   func(to, _ link.NodeID) (link.NodeID, bool) { n, ok := ways[to]; return n, ok },
		limits: newLimits(100),
	}
	now := time.Unix(1000, 0)
	for name, tt := range map[string]struct {
		h    header
		via  address
		want verdict
		next link.NodeID
	}{
		"for us":                  {header{to: r.self, from: a, hops: 1}, a, here, ""},
		"for us, by another":      {header{to: r.self, from: b, hops: 6}, a, here, ""},
		"to pass on":              {header{to: b, from: a, hops: 2}, a, onward, b.id()},
		"of an unknown kind":      {header{kind: 15, to: b, from: a, hops: 6}, a, onward, b.id()},
		"at its last hop":         {header{to: b, from: a, hops: 1}, a, lost, ""},
		"without hops":            {header{to: b, from: a}, a, lost, ""},
		"back where it came from": {header{to: c, from: b, hops: 6}, a, lost, ""},
		"back to its source":      {header{to: c, from: a, hops: 6}, b, lost, ""},
		"no way":                  {header{to: a, from: b, hops: 6}, b, lost, ""},
		"from a stranger":         {header{to: r.self, from: out, hops: 6}, a, stranger, ""},
		"to a stranger":           {header{to: out, from: a, hops: 6}, a, stranger, ""},
		"from ourselves":          {header{to: b, from: r.self, hops: 6}, a, stranger, ""},
	} {
		v, h, payload, next := r.route(tt.via.id(), tt.h.append(nil, []byte("x")), now)
		if v != tt.want || next != tt.next || h != tt.h || (v <= onward) != (string(payload) == "x") {
			t.Errorf("%s: verdict %d, next %s", name, v, next)
		}
	}
	if v, _, _, _ := r.route(a.id(), []byte("rubbish"), now); v != malformed {
		t.Errorf("rubbish: %d", v)
	}
}

func TestLimits(t *testing.T) {
	l := newLimits(10)
	now := time.Unix(1000, 0)
	passed := func(s source, n int) (k int) {
		for range n {
			if l.allow(s, now) {
				k++
			}
		}
		return k
	}
	x := source{via: "x", from: address{1}}
	if k := passed(x, 100); k != 10 {
		t.Errorf("%d passed in a burst", k)
	}
	if k := passed(source{via: "x", from: address{2}}, 10); k != 10 {
		t.Errorf("%d of another source of the neighbour's passed", k)
	}
	if k := passed(source{via: "y", from: address{1}}, 10); k != 10 {
		t.Errorf("%d that another neighbour says are the source's passed", k)
	}
	now = now.Add(time.Second)
	if k := passed(x, 100); k != 10 {
		t.Errorf("%d passed a second later", k)
	}
	all := 0
	for i := range 20 {
		all += passed(source{via: "z", from: address{byte(i)}}, 10)
	}
	if all != 10*neighbourShare {
		t.Errorf("%d of many sources of one neighbour's passed", all)
	}
	for i := range 2 * maxSources {
		l.allow(source{via: "y", from: address{3, byte(i), byte(i >> 8)}}, now)
	}
	if k := len(l.sources); k > maxSources {
		t.Errorf("%d sources are remembered", k)
	}
	now = now.Add(2 * silent)
	if !l.allow(source{via: "new", from: address{}}, now) {
		t.Error("silent sources are not forgotten")
	}
	if k := len(l.sources); k > 3 {
		t.Errorf("%d sources are remembered after they were silent", k)
	}
}
