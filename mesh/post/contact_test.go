package post

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/sctp"
)

// party is one end under test.
type party struct {
	contact
	began, ended int
}

func newParty(tags *uint32) *party {
	return &party{contact: contact{fresh: func() (uint32, []byte) { *tags++; return *tags, fmt.Append(nil, *tags) }}}
}

func (p *party) follow(s step) []greeting {
	if s.end {
		p.ended++
	}
	if s.begin != nil {
		p.began++
	}
	return s.send
}

func (p *party) hear(g greeting, now time.Time) []greeting {
	return p.follow(p.receive(header{kind: g.kind, source: g.source, dest: g.dest}, g.parameters, now))
}

// agreed says that both ends have the same association, and with each other's parameters.
func agreed(a, b *party) bool {
	return a.state == up && b.state == up && a.now.source == b.now.dest && b.now.source == a.now.dest &&
		string(a.now.theirs) == fmt.Sprint(b.now.source) && string(b.now.theirs) == fmt.Sprint(a.now.source)
}

var start = time.Unix(1000, 0)

// converse passes on what the parties say to each other until they are silent.
func converse(now time.Time, a, b *party, fromA []greeting) (said []greeting) {
	var fromB []greeting
	for range 10 {
		said = append(append(said, fromA...), fromB...)
		var nextA, nextB []greeting
		for _, g := range fromA {
			nextB = append(nextB, b.hear(g, now)...)
		}
		for _, g := range fromB {
			nextA = append(nextA, a.hear(g, now)...)
		}
		fromA, fromB = nextA, nextB
	}
	return said
}

func TestContact(t *testing.T) {
	tags := uint32(0)
	a, b := newParty(&tags), newParty(&tags)
	a.call(start)
	said := converse(start, a, b, a.follow(a.tick(start)))
	if !agreed(a, b) || len(said) != 3 {
		t.Fatalf("%d greetings, %+v, %+v", len(said), a.now, b.now)
	}
	later := start.Add(time.Minute)
	// What was said comes again.
	for _, g := range said {
		if g.source == a.now.source {
			converse(later, b, a, b.hear(g, later))
		} else {
			converse(later, a, b, a.hear(g, later))
		}
	}
	if !agreed(a, b) || a.ended+b.ended != 0 {
		t.Fatalf("repeated greetings end it: %+v, %+v", a.now, b.now)
	}
	if s := b.receive(header{kind: carry, source: a.now.source, dest: b.now.source}, nil, later); !s.deliver {
		t.Error("a packet is not delivered")
	}
	for _, h := range []header{
		{kind: carry, source: a.now.source + 100, dest: b.now.source},
		{kind: carry, source: a.now.source, dest: b.now.source + 100},
		{kind: carry, source: a.now.source},
		{kind: carry, dest: b.now.source},
		{kind: 9, source: a.now.source, dest: b.now.source},
		{kind: leave, source: a.now.source + 100, dest: b.now.source},
		{kind: leave, source: a.now.source, dest: b.now.source + 100},
	} {
		if s := b.receive(h, nil, later); s.deliver || s.end || !s.refused {
			t.Errorf("%+v: %+v", h, s)
		}
	}
	if s := b.receive(header{kind: greet, source: 1}, make([]byte, maxParameters+1), later); !s.refused || s.send != nil {
		t.Errorf("too large a greeting: %+v", s)
	}
	converse(later, a, b, a.follow(a.hangUp(later)))
	if a.state != apart || b.state != apart || a.ended != 1 || b.ended != 1 {
		t.Errorf("hanging up: %+v, %+v", a, b)
	}
}

// A process that has restarted takes the place of the earlier one; greetings of the earlier one do not.
func TestContactRestart(t *testing.T) {
	tags := uint32(0)
	old, b := newParty(&tags), newParty(&tags)
	old.call(start)
	said := converse(start, old, b, old.follow(old.tick(start)))
	now := start.Add(time.Minute)
	a := newParty(&tags)
	a.call(now)
	converse(now, a, b, a.follow(a.tick(now)))
	if !agreed(a, b) || b.ended != 1 || b.began != 2 {
		t.Fatalf("%+v, %+v", a, b)
	}
	now = now.Add(time.Minute)
	for _, g := range said {
		if g.source == 1 { // old's
			converse(now, b, a, b.hear(g, now))
			now = now.Add(time.Second)
		}
	}
	if !agreed(a, b) || b.ended != 1 {
		t.Errorf("what the earlier process said ended it: %+v, %+v", a, b)
	}
	// One that has restarted and has nothing to say learns of it when it hears of the association that it does not have.
	c := newParty(&tags)
	converse(now, b, c, []greeting{{kind: carry, source: b.now.source, dest: b.now.dest}})
	if b.state != apart {
		t.Errorf("%+v", b)
	}
}

func TestContactPatience(t *testing.T) {
	tags := uint32(0)
	a, b := newParty(&tags), newParty(&tags)
	a.call(start)
	greetings := 0
	for now := start; now.Before(start.Add(time.Minute)); now = now.Add(tick) {
		for _, g := range a.follow(a.tick(now)) {
			greetings++
			if greetings == 1 {
				b.hear(g, now)
			}
		}
		b.tick(now)
	}
	if greetings < 25 || greetings > 35 {
		t.Errorf("%d greetings in a minute without an answer", greetings)
	}
	if b.state != apart {
		t.Error("one that was answered and said no more is not forgotten")
	}
}

// Whatever was lost, repeated, late or restarted, the two agree soon after it has ended.
func TestContactProperty(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 7))
		tags := uint32(0)
		parties := [2]*party{newParty(&tags), newParty(&tags)}
		type flight struct {
			greeting
			to int
			at time.Time
		}
		var air []flight
		now := start
		send := func(from int, all []greeting) {
			for _, g := range all {
				for range random.IntN(3) { // lost, or once, or twice
					air = append(air, flight{g, 1 - from, now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)})
				}
			}
		}
		calm := start.Add(20 * time.Second)
		for ; now.Before(calm.Add(30 * time.Second)); now = now.Add(tick) {
			if now.Before(calm) {
				switch i := random.IntN(2); random.IntN(40) {
				case 0:
					parties[i] = newParty(&tags)
				case 1:
					send(i, parties[i].follow(parties[i].hangUp(now)))
				case 2:
					parties[i].call(now)
				}
			} else {
				parties[0].call(now)
			}
			flying := air
			air = nil
			for _, f := range flying {
				if f.at.After(now) {
					air = append(air, f)
					continue
				}
				send(f.to, parties[f.to].hear(f.greeting, now))
			}
			for i, p := range parties {
				send(i, p.follow(p.tick(now)))
				if p.state == up && random.IntN(10) == 0 {
					send(i, []greeting{{kind: carry, source: p.now.source, dest: p.now.dest}})
				}
			}
		}
		if !agreed(parties[0], parties[1]) {
			t.Fatalf("seed %d: %+v, %+v", seed, parties[0].contact, parties[1].contact)
		}
	}
}

// Parameters of a greeting, whatever they are, make an association or an error.
func FuzzParameters(f *testing.F) {
	_, own := fresh()
	f.Add(own)
	f.Add([]byte{1, 0, 0, 20})
	f.Fuzz(func(t *testing.T, theirs []byte) {
		c := newConn(time.Now(), func([]byte) {})
		l := &line{remote: &correspondent{}, conn: c, ends: ends{parameters: own, theirs: theirs}}
		a, err := sctp.ClientContext(context.Background(), l.options()...)
		if err != nil {
			return
		}
		if s, err := a.OpenStream(2, sctp.PayloadTypeWebRTCBinary); err == nil {
			_, _ = s.WriteSCTP([]byte("x"), sctp.PayloadTypeWebRTCBinary)
		}
		_ = a.Close()
	})
}
