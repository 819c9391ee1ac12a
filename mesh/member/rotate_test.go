package member

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

// TestRing takes a ring through a rotation.
func TestRing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRing(now)
	if err != nil {
		t.Fatal(err)
	}
	old, key := r.Keys[0], bytes.Repeat([]byte{7}, gossipKey)
	steps := []struct {
		name   string
		agreed bool
		after  time.Duration
		moves  bool
		phase  phase
		keys   [][]byte
	}{
		{"not everybody has it", false, time.Hour, false, spreading, [][]byte{old, key}},
		{"all have it", true, 0, true, switched, [][]byte{key, old}},
		{"too early to forget", true, oldKeyLife - time.Second, false, switched, [][]byte{key, old}},
		{"somebody is behind", false, time.Hour, false, switched, [][]byte{key, old}},
		{"the old one goes", true, oldKeyLife, true, settled, [][]byte{key}},
		{"nothing left to do", true, time.Hour, false, settled, [][]byte{key}},
	}
	if r, err = r.rotate(key, now); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if _, err := r.rotate(key, now); r.Phase != settled && !errors.Is(err, ErrRotating) {
			t.Errorf("%s: a second rotation: %v", s.name, err)
		}
		serial := r.Serial
		n, moves := r.next(s.agreed, oldKeyLife, now.Add(s.after))
		if moves != s.moves || n.Phase != s.phase || len(n.Keys) != len(s.keys) || moves != (n.Serial == serial+1) {
			t.Fatalf("%s: %v %+v", s.name, moves, n)
		}
		for i := range s.keys {
			if !bytes.Equal(n.Keys[i], s.keys[i]) {
				t.Errorf("%s: key %d", s.name, i)
			}
		}
		if moves {
			n.Issued = now.Unix()
		}
		r = n
		raw, err := r.sign(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseRing(raw, a); err != nil || got.Serial != r.Serial {
			t.Errorf("%s: %+v %v", s.name, got, err)
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 1
			if got, err := parseRing(bad, a); err == nil && got.Serial != r.Serial {
				t.Fatalf("%s: byte %d may be changed", s.name, i)
			}
		}
	}
	for _, bad := range []ring{{}, {Keys: [][]byte{{1}}}, {Keys: [][]byte{key, key}}, {Phase: spreading, Keys: [][]byte{key}}} {
		raw, err := bad.sign(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRing(raw, a); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestRotation rotates, asked of a node that does not hold the authority's key, while one restarts and one is away.
func TestRotation(t *testing.T) {
	nodes := cluster(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	before := a.member().ring
	c.end()
	together(t, a, b)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	cfg := config(t)
	cfg.Join = []string{a.invitation(Invitation{})}
	away := start(t, cfg)
	rotated := make(chan error, 1)
	go func() { rotated <- b.RotateKey(ctx) }()
	away.end() // wherever the rotation is just now
	away = start(t, cfg)
	if err := <-rotated; err != nil {
		t.Fatalf("rotate: %v", err)
	}
	eventually(t, 10*time.Second, func() string {
		for _, n := range []*testNode{a, b, away} {
			if r := n.member().ring; bytes.Equal(r.Keys[0], before.Keys[0]) || r.Serial < before.Serial+2 || !bytes.Equal(n.keyring.GetPrimaryKey(), r.Keys[0]) {
				return "somebody has the old key"
			}
		}
		return ""
	})
	together(t, a, b, away)
	if err := b.RotateKey(ctx); err == nil || err.Error() != ErrRotating.Error() {
		t.Errorf("while the old key is still there: %v", err)
	}
	// The old key is dropped before its time, so that whoever was away cannot hide behind it.
	a.memberMu.Lock()
	r := a.member().ring
	n, _ := r.next(true, oldKeyLife, time.Now().Add(oldKeyLife))
	err := a.install(n)
	a.memberMu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	back := start(t, c.cfg)
	together(t, a, b, away, back)
	if got := back.keyring.GetKeys(); len(got) != 1 || bytes.Equal(got[0], before.Keys[0]) {
		t.Errorf("%d keys after all", len(got))
	}
	eventually(t, 5*time.Second, func() string {
		for _, n := range []*testNode{a, b, away, back} {
			if n.member().ring.Serial != before.Serial+3 {
				return "somebody still has the old key"
			}
		}
		return ""
	})
	for _, n := range []*testNode{a, b, away, back} {
		kept, _, err := n.storage.membership()
		if err != nil || kept.ring.Serial != n.member().ring.Serial {
			t.Errorf("on disk: %d, in use: %d, %v", kept.ring.Serial, n.member().ring.Serial, err)
		}
	}
}
