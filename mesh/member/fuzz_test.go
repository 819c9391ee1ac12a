package member

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"testing"
	"time"

	"cardea/relay/link/wire"
)

// FuzzMetadata wants what is taken to be a member's own, whatever comes.
func FuzzMetadata(f *testing.F) {
	s := newSigner(f)
	f.Add(s.metadata(largest(), 1, 1), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign { // get past the signatures
			var m metadata
			if wire.Unmarshal(b, &m) != nil {
				return
			}
			m.Key, m.Pass = s.public(), s.creds.pass
			b = m.sign(s.a.cluster(), s.key)
		}
		d, err := parseMetadata(b, s.a, time.Now())
		if err != nil {
			return
		}
		if d.ID != idOf(s.public()) || len(d.Links) == 0 || len(d.Links) != len(d.Gossip) || len(d.Name) > maxName || d.Load > 1 {
			t.Errorf("%+v", d)
		}
		if d.Coordinate != nil && !d.Coordinate.IsValid() {
			t.Errorf("%+v", d.Coordinate)
		}
		if raw := s.metadata(d.Node, d.sequence, d.ring); len(raw) > maxMetadata {
			t.Errorf("%d bytes", len(raw))
		}
	})
}

// FuzzInvitation wants what is read to be written in the same way.
func FuzzInvitation(f *testing.F) {
	f.Add(sampleInvitation(f, newSigner(f).a, invitation{}).text())
	f.Add(InvitationPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := parseInvitation(text)
		if err == nil && inv.text() != text {
			t.Errorf("%q becomes %q", text, inv.text())
		}
	})
}

// FuzzClaims is as FuzzInvitation, without base64 in between.
func FuzzClaims(f *testing.F) {
	f.Add(sampleInvitation(f, newSigner(f).a, invitation{Authority: true}).claims())
	f.Fuzz(func(t *testing.T, b []byte) {
		inv, rest, err := parseClaims(b)
		if err == nil && !bytes.Equal(append(inv.claims(), rest...), b) {
			t.Errorf("%x becomes %x", b, inv.claims())
		}
	})
}

// FuzzRing wants no ring but the authority's, and that one proper.
func FuzzRing(f *testing.F) {
	a := newSigner(f).a
	r, err := newRing(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	raw, err := r.sign(a)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, false)
	f.Add(wire.Marshal(&r), true)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign {
			var r ring
			if wire.Unmarshal(b, &r) != nil {
				return
			}
			var err error
			if b, err = r.sign(a); err != nil {
				t.Fatal(err)
			}
		}
		r, err := parseRing(b, a)
		if err == nil && (len(r.Keys) == 0 || len(r.Keys) > maxRingKeys || len(r.Keys[0]) != gossipKey) {
			t.Errorf("%+v", r)
		}
	})
}

// FuzzExpulsion wants no expulsion but the authority's, of a node, in force, and the news that bring it to do no harm.
func FuzzExpulsion(f *testing.F) {
	now := time.Unix(1_000_000, 0)
	a := testAuthority(f, now)
	raw, err := newExpulsion(a, testID(1), now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, false)
	f.Add(wire.Marshal(&news{Expulsions: [][]byte{raw}}), false)
	f.Add(wire.Marshal(&expulsion{[]byte("0123456789"), now.Unix()}), true)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign { // get past the signature
			b = wire.Marshal(&signedExpulsion{b, ed25519.Sign(a.key, expulsionContent(a.cluster(), b))})
		}
		if x, err := parseExpulsion(b, a, now); err == nil {
			if _, err := rawID(x.id); err != nil || x.over(now) || !sign && x.id != testID(1) {
				t.Errorf("%+v", x)
			}
		}
		var n news
		if wire.Unmarshal(b, &n) == nil {
			var e expulsions
			for _, raw := range n.Expulsions {
				if fresh, _ := e.take(raw, a, false, now); fresh && !sign && !e.has(testID(1)) {
					t.Errorf("%+v", e.sorted())
				}
			}
		}
	})
}

// FuzzMembership wants no panic on a cluster file that was spoilt.
func FuzzMembership(f *testing.F) {
	s := newSigner(f)
	r, err := newRing(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	raw, err := r.sign(s.a)
	if err != nil {
		f.Fatal(err)
	}
	b, err := membership{s.a, s.creds, raw, r}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMembership(b)
		if err == nil && (m.authority == nil || m.credentials.cert == nil || len(m.ring.Keys) == 0) {
			t.Errorf("%+v", m)
		}
	})
}

// FuzzPeers wants peers that can be called from whatever is in the file.
func FuzzPeers(f *testing.F) {
	b, err := json.Marshal([]peer{testPeer(1, time.Now())})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var kept []peer
		if json.Unmarshal(b, &kept) != nil {
			return
		}
		p := newPeers(kept)
		for _, k := range p.due(nil, time.Now()) {
			if len(k.Links) == 0 || len(k.Links) > maxAddresses || len(k.ID) != 16 {
				t.Errorf("%+v", k)
			}
		}
	})
}

// FuzzMessages reads requests and replies, and what is in them.
func FuzzMessages(f *testing.F) {
	for _, m := range []any{
		&request{Join: &joinRequest{Key: []byte{1}, CSR: []byte{2}}}, &request{Carried: &carriedRequest{}}, &request{Meet: &meetRequest{1, 2}},
		&reply{Code: failed, Text: "x"},
		&reply{Meet: &meetReply{ID: "a", Peers: []peerRecord{recordOf(testID(1), testPeer(1, time.Now()).Links, testPeer(1, time.Now()).Gossip)}}},
	} {
		var b bytes.Buffer
		if err := writeMessage(&b, m); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var req request
		if readMessage(bytes.NewReader(b), maxRequest, &req) == nil && req.Join != nil {
			if key, err := certified(req.Join.CSR); err == nil && len(key) == 0 {
				t.Error("nobody's key")
			}
		}
		var r reply
		if readMessage(bytes.NewReader(b), maxReply, &r) != nil {
			return
		}
		_ = r.err()
		if r.Meet != nil {
			for _, p := range peersOf(r.Meet.Peers, time.Now()) {
				if len(p.Links) == 0 || len(p.Gossip) == 0 || !p.Links[0].IsValid() {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}
