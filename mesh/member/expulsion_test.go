package member

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"cardea/relay/link/wire"
)

// TestExpulsion wants an expulsion to be the authority's, of this cluster and of this time.
func TestExpulsion(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a, other := testAuthority(t, now), testAuthority(t, now)
	id := testID(7)
	expel := func(a *authority, at time.Time) []byte {
		raw, err := newExpulsion(a, id, at)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := expel(a, now)
	if x, err := parseExpulsion(good, a, now); err != nil || x.id != id || !x.issued.Equal(now) {
		t.Fatalf("%+v %v", x, err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if x, err := parseExpulsion(bad, a, now); err == nil && (x.id != id || !x.issued.Equal(now)) {
			t.Fatalf("byte %d may be changed: %+v", i, x)
		}
	}
	raw, _ := rawID(id)
	sign := func(body []byte) []byte {
		return wire.Marshal(&signedExpulsion{body, ed25519.Sign(a.key, expulsionContent(a.cluster(), body))})
	}
	for name, tt := range map[string]struct {
		raw  []byte
		at   time.Time
		want error
	}{
		"another cluster's":     {expel(other, now), now, errExpulsion},
		"on its last day":       {good, now.Add(expulsionLife - time.Second), nil},
		"over":                  {good, now.Add(expulsionLife), errExpulsionOver},
		"clocks apart":          {expel(a, now.Add(clockSkew)), now, nil},
		"of the future":         {expel(a, now.Add(clockSkew+time.Second)), now, errExpulsionOver},
		"nobody's":              {sign(wire.Marshal(&expulsion{raw[1:], now.Unix()})), now, errExpulsion},
		"with what comes later": {sign(append(wire.Marshal(&expulsion{raw[:], now.Unix()}), 0x1a, 1, 'x')), now, nil}, // field 3
		"too long":              {sign(append(wire.Marshal(&expulsion{raw[:], now.Unix()}), append([]byte{0x1a, 0x80, 0x02}, make([]byte, 256)...)...)), now, errExpulsion},
		"nothing":               {nil, now, errExpulsion},
	} {
		if _, err := parseExpulsion(tt.raw, a, tt.at); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newExpulsion(&authority{cert: a.cert}, id, now); !errors.Is(err, errNoAuthority) {
		t.Errorf("without the key: %v", err)
	}
	const want = "0a10" + "0a0a30303030303030303037" + "1080897a" // the node, and the time in zigzag
	if got := hex.EncodeToString(good[:18]); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func testAuthority(t testing.TB, now time.Time) *authority {
	t.Helper()
	a, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestExpulsions wants each to be news once, the later one of a node's to stay, and no more than there is room for.
func TestExpulsions(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a := testAuthority(t, now)
	var e expulsions
	take := func(n int, at time.Time, quiet bool) (bool, error) {
		raw, err := newExpulsion(a, testID(n), at)
		if err != nil {
			t.Fatal(err)
		}
		return e.take(raw, a, quiet, now)
	}
	for i, tt := range []struct {
		at    time.Duration
		fresh bool
	}{{0, true}, {0, false}, {-time.Hour, false}, {time.Hour, false}} {
		if fresh, err := take(1, now.Add(tt.at), false); fresh != tt.fresh || err != nil {
			t.Errorf("%d: %v %v", i, fresh, err)
		}
	}
	if all := e.sorted(); len(all) != 1 || !all[0].issued.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", all)
	}
	if fresh, err := take(2, now, true); !fresh || err != nil {
		t.Errorf("%v %v", fresh, err)
	}
	if got := e.news(); len(got) != 1 || got[0] != testID(1) || len(e.news()) != 0 {
		t.Errorf("news: %v", got)
	}
	if !e.has(testID(2)) || e.has(testID(3)) || len(e.all()) != 2 || len(e.ids()) != 2 {
		t.Errorf("%v", e.ids())
	}
	for n := 3; n <= maxExpulsions; n++ {
		if _, err := take(n, now, true); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
	}
	if _, err := take(maxExpulsions+1, now, true); !errors.Is(err, errManyExpulsions) {
		t.Errorf("one too many: %v", err)
	}
	if n := len(wire.Marshal(&reply{Expulsions: e.all()})); n > maxReply/2 {
		t.Errorf("all of them take %d bytes of a reply", n)
	}
	if e.expire(now.Add(expulsionLife - time.Second)) {
		t.Error("some end early")
	}
	if !e.expire(now.Add(expulsionLife)) || len(e.all()) != 1 {
		t.Errorf("%d are left", len(e.all()))
	}
}

// TestWithhold begins rotations because of expulsions wherever another one is.
func TestWithhold(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	key := func(n byte) []byte { return bytes.Repeat([]byte{n}, gossipKey) }
	x, y := []byte("xxxxxxxxxx"), []byte("yyyyyyyyyy")
	for _, tt := range []struct {
		ring       ring
		keys, next [][]byte
	}{
		{ring{Serial: 4, Keys: [][]byte{key(1)}}, [][]byte{key(1), key(9)}, [][]byte{key(9), key(1)}},
		{ring{Serial: 4, Phase: spreading, Keys: [][]byte{key(1), key(2)}}, [][]byte{key(1), key(9)}, [][]byte{key(9), key(1)}},
		{ring{Serial: 4, Phase: switched, Keys: [][]byte{key(2), key(1)}}, [][]byte{key(2), key(9), key(1)}, [][]byte{key(9), key(2)}},
		{ring{Serial: 4, Phase: switched, Keys: [][]byte{key(4), key(3), key(2), key(1)}}, [][]byte{key(4), key(9), key(3), key(2)}, [][]byte{key(9), key(4)}},
	} {
		r := tt.ring.withhold(key(9), [][]byte{x}, now)
		if r.Serial != 5 || r.Phase != spreading || r.check() != nil || !equalKeys(r.Keys, tt.keys) {
			t.Errorf("phase %d: %+v", tt.ring.Phase, r)
		}
		n, moves := r.next(true, oldKeyLife, now)
		if !moves || !equalKeys(n.Keys, tt.next) || !n.withheld([][]byte{x}) || n.withheld([][]byte{x, y}) {
			t.Errorf("phase %d: then %+v", tt.ring.Phase, n)
		}
		if _, moves = n.next(true, hurriedKeyLife, now.Add(hurriedKeyLife-time.Second)); moves {
			t.Error("the old key goes too early")
		}
		if n, moves = n.next(true, hurriedKeyLife, now.Add(hurriedKeyLife)); !moves || len(n.Keys) != 1 || !n.withheld([][]byte{x}) {
			t.Errorf("at last %+v", n)
		}
		if n, err := n.rotate(key(10), now); err != nil || !n.withheld([][]byte{x}) {
			t.Errorf("rotated again: %+v %v", n, err)
		}
	}
	if (ring{Keys: [][]byte{key(1)}, Without: make([][]byte, maxExpulsions+1)}).check() == nil {
		t.Error("a ring may name any number of nodes")
	}
}

func equalKeys(a, b [][]byte) bool {
	return bytes.Equal(bytes.Join(a, []byte{0}), bytes.Join(b, []byte{0}))
}
