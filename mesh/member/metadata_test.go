package member

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link/wire"
)

// signer is a node of a cluster without sockets.
type signer struct {
	a     *authority
	key   ed25519.PrivateKey
	creds credentials
}

func newSigner(t testing.TB) signer {
	t.Helper()
	a, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return signer{a: a}.another(t)
}

// another makes a second node of the same cluster.
func (s signer) another(t testing.TB) signer {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.a.issue(public, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return signer{s.a, key, c}
}

func (s signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

func (s signer) metadata(n Node, sequence, ring uint64) []byte {
	return pack(n, s.creds.pass, s.public(), sequence, ring).sign(s.a.cluster(), s.key)
}

// largest is a node of which everything is as long as it can be.
func largest() Node {
	n := Node{
		Name: strings.Repeat("ä", 200), Region: strings.Repeat("x", 200), Version: strings.Repeat("v", 200), State: 255, Planes: 255,
		Authority: true, Load: 2, Started: time.UnixMilli(math.MaxInt64), Latitude: -90, Longitude: 180, Capacity: math.MaxInt,
		Doors: Doors{
			Host: strings.Repeat("h", maxHost), WS: 65535, WSS: 65535, HTTP: 65535, HTTPS: 65535, Media: 65535, TURNS: 65535, MediaTCP: true,
			Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("203.0.113.2")},
		},
		Coordinate: &coordinate.Coordinate{Vec: []float64{1, 2, 3, 4, 5, 6, 7, 8}, Error: 1.5, Adjustment: -0.1, Height: 0.01},
	}
	for i := range 5 {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i + 1)})
		n.Links = append(n.Links, netip.AddrPortFrom(a, 65535))
		n.Gossip = append(n.Gossip, netip.AddrPortFrom(a, 65534))
	}
	return n
}

// TestMetadataFits wants the longest metadata to fit into what memberlist carries.
func TestMetadataFits(t *testing.T) {
	s := newSigner(t)
	s.creds.pass.Until = math.MaxInt64
	s.creds.pass.Signature = ed25519.Sign(s.a.key, s.creds.pass.content(s.a.cluster(), s.public()))
	raw := s.metadata(largest(), math.MaxUint64, math.MaxUint64)
	t.Logf("%d of %d bytes", len(raw), maxMetadata)
	if len(raw) > maxMetadata {
		t.Errorf("metadata has %d bytes", len(raw))
	}
	d, err := parseMetadata(raw, s.a, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Name) < leastName || len(d.Region) < leastName || len(d.Links) == 0 || d.Load != 1 {
		t.Errorf("%+v", d)
	}
	want := largest().Doors
	want.Addresses = want.Addresses[:2]
	if !d.Doors.Equal(want) || d.Latitude != -90 || d.Longitude != 180 || d.Capacity != maxCapacity {
		t.Errorf("%+v", d)
	}
	small := largest()
	small.Doors, small.Latitude, small.Longitude, small.Capacity = Doors{}, 0, 0, 0
	if d, err = parseMetadata(s.metadata(small, 1, 1), s.a, time.Now()); err != nil || len(d.Name) != maxName || len(d.Region) != maxName || len(d.Links) != maxAddresses {
		t.Errorf("without doors: %v %+v", err, d)
	}
}

// TestDoors wants what nodes say of where clients reach them to come through, and what is unfit for URLs to stay out.
func TestDoors(t *testing.T) {
	for _, d := range []Doors{
		{},
		{Host: "fra-1.example.org", WSS: 8989, HTTPS: 443, Media: 3478, MediaTCP: true},
		{Host: "2001:db8::1", WS: 8188, TURNS: 5349},
		{Host: "192.0.2.1", WS: 1, WSS: 2, HTTP: 3, HTTPS: 4, Media: 5, TURNS: 6},
	} {
		if got := parseDoors(d.Host, d.packAddresses(), d.packPorts()); !got.Equal(d) {
			t.Errorf("%+v becomes %+v", d, got)
		}
	}
	for _, host := range []string{"", "a/b", "a:1", "fe80::1%eth0", "[::1]", "a b", "a\"", strings.Repeat("a", maxHost+1), "ä"} {
		if isHost(host) {
			t.Errorf("%q is taken for a host", host)
		}
	}
	future := append([]byte{0x3f, 1, 2, portUsual | 0x3f}, (&Doors{WSS: 8989}).packPorts()...)
	if got := parseDoors("", nil, future); got.WSS != 8989 {
		t.Errorf("with doors of a later version: %+v", got)
	}
	for _, cut := range [][]byte{{0}, {1, 2}, {0xff}} {
		if got := parseDoors("", nil, cut); !got.Equal(Doors{}) {
			t.Errorf("%x: %+v", cut, got)
		}
	}
}

func TestMetadataRoundTrip(t *testing.T) {
	s := newSigner(t)
	n := Node{
		ID: idOf(s.public()), Name: "Knoten 1", Region: "eu-west", Version: "v1.2", State: Draining, Planes: Media | TURN, Load: 0.37,
		Started:    time.UnixMilli(1_700_000_000_123),
		Links:      []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7947"), netip.MustParseAddrPort("[2001:db8::1]:7947")},
		Gossip:     []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7946"), netip.MustParseAddrPort("[2001:db8::1]:7946")},
		Coordinate: &coordinate.Coordinate{Vec: []float64{0.5, -0.25, 0, 0, 0, 0, 0, 0.125}, Error: 0.5, Adjustment: -0.0625, Height: 0.03125},
		Latitude:   50.11, Longitude: 8.68, Capacity: 500,
		Doors: Doors{Host: "fra.example.org", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.9")}, WS: 8188, WSS: 443, Media: 3478, MediaTCP: true},
	}
	d, err := parseMetadata(s.metadata(n, 5, 3), s.a, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(d.Latitude-n.Latitude) > 0.005 || math.Abs(d.Longitude-n.Longitude) > 0.005 {
		t.Errorf("it stands at %v, %v", d.Latitude, d.Longitude)
	}
	d.Latitude, d.Longitude = n.Latitude, n.Longitude
	if diff := cmp.Diff(n, d.Node, cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})); diff != "" || d.sequence != 5 || d.ring != 3 {
		t.Errorf("%d %d %s", d.sequence, d.ring, diff)
	}
}

// TestForgedMetadata wants what is not a member's own to be refused.
func TestForgedMetadata(t *testing.T) {
	s := newSigner(t)
	other, foreign := s.another(t), newSigner(t)
	n := Node{Links: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}, Gossip: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:2")}}
	good := s.metadata(n, 1, 1)
	if _, err := parseMetadata(good, s.a, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := parseMetadata(good, s.a, time.Now().Add(2*certificateLife)); !errors.Is(err, ErrStranger) {
		t.Errorf("long after: %v", err)
	}
	if _, err := parseMetadata(foreign.metadata(n, 1, 1), s.a, time.Now()); !errors.Is(err, ErrStranger) {
		t.Errorf("of another cluster: %v", err)
	}
	var m signedMetadata
	if err := wire.Unmarshal(good, &m); err != nil {
		t.Fatal(err)
	}
	m.Signature = ed25519.Sign(other.key, metadataContent(s.a.cluster(), m.Metadata))
	if _, err := parseMetadata(wire.Marshal(&m), s.a, time.Now()); err == nil {
		t.Error("signed by another member")
	}
	borrowed := pack(n, s.creds.pass, other.public(), 1, 1).sign(s.a.cluster(), other.key)
	if _, err := parseMetadata(borrowed, s.a, time.Now()); !errors.Is(err, ErrStranger) {
		t.Errorf("with another's pass: %v", err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if d, err := parseMetadata(bad, s.a, time.Now()); err == nil && (d.ID != idOf(s.public()) || d.sequence != 1) {
			t.Fatalf("byte %d may be changed", i)
		}
	}
	for name, bad := range map[string]Node{
		"no address": {}, "no address at all": {Links: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1")}, Gossip: n.Gossip},
		"no port":   {Links: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}, Gossip: n.Gossip},
		"multicast": {Links: []netip.AddrPort{netip.MustParseAddrPort("224.0.0.1:1")}, Gossip: n.Gossip},
	} {
		if _, err := parseMetadata(s.metadata(bad, 1, 1), s.a, time.Now()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := parseMetadata(make([]byte, maxMetadata+1), s.a, time.Now()); err == nil {
		t.Error("too long")
	}
}

func TestCoordinates(t *testing.T) {
	good := packCoordinate(coordinate.NewCoordinate(coordinate.DefaultConfig()))
	if len(good) != coordinateBytes || parseCoordinate(good) == nil {
		t.Fatalf("%x", good)
	}
	set := func(i int, f float64) []byte {
		b := bytes.Clone(good)
		copy(b[4*i:], appendFloat32(nil, f))
		return b
	}
	for name, bad := range map[string][]byte{
		"none": nil, "short": good[1:], "NaN": set(0, math.NaN()), "infinite": set(3, math.Inf(-1)), "far": set(1, 61), "negative height": set(10, -1), "negative error": set(8, -1),
	} {
		if c := parseCoordinate(bad); c != nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if packCoordinate(nil) != nil || packCoordinate(&coordinate.Coordinate{Vec: []float64{1}}) != nil {
		t.Error("what is no coordinate is packed")
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "a\x1b[1mb\n": "a[1mb", "äöü": "äö", "\xffab\u0085": "ab", "abcdef": "abcd"} {
		if got := clip(in, 4); got != want && in != "a\x1b[1mb\n" {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := clip("a\x1b[1mb\n", 9); got != "a[1mb" {
		t.Errorf("%q", got)
	}
}

func TestPace(t *testing.T) {
	at := func(f float64) *coordinate.Coordinate { return &coordinate.Coordinate{Vec: []float64{f}} }
	told := Node{Load: 0.5, Coordinate: at(0)}
	p := pace{told: told, ring: 1, pass: 1, at: time.Unix(100, 0)}
	tests := []struct {
		name  string
		n     Node
		ring  uint64
		until int64
		nodes int
		after time.Duration
		want  bool
	}{
		{"nothing new", told, 1, 1, 2, time.Hour, false},
		{"draining", Node{Load: 0.5, Coordinate: at(0), State: Draining}, 1, 1, 2, paceUrgent, true},
		{"draining, just after the last time", Node{Load: 0.5, Coordinate: at(0), State: Draining}, 1, 1, 2, paceUrgent - 1, false},
		{"another door", Node{Load: 0.5, Coordinate: at(0), Doors: Doors{WSS: 443}}, 1, 1, 2, paceUrgent, true},
		{"another place", Node{Load: 0.5, Coordinate: at(0), Latitude: 1}, 1, 1, 2, paceUrgent, true},
		{"new gossip keys", told, 2, 1, 2, paceUrgent, true},
		{"new certificate", told, 1, 2, 2, paceUrgent, true},
		{"a little more load", Node{Load: 0.54, Coordinate: at(0)}, 1, 1, 2, time.Hour, false},
		{"more load", Node{Load: 0.56, Coordinate: at(0)}, 1, 1, 2, paceSlow + 2*paceNode, true},
		{"more load, too soon", Node{Load: 0.56, Coordinate: at(0)}, 1, 1, 2, paceSlow, false},
		{"more load among many", Node{Load: 0.56, Coordinate: at(0)}, 1, 1, 1000, 6 * time.Minute, false},
		{"moved", Node{Load: 0.5, Coordinate: at(0.004)}, 1, 1, 0, paceSlow, true},
		{"hardly moved", Node{Load: 0.5, Coordinate: at(0.002)}, 1, 1, 0, time.Hour, false},
		{"a coordinate at last", Node{Load: 0.5, Coordinate: &coordinate.Coordinate{}}, 1, 1, 0, paceSlow, true},
	}
	for _, tt := range tests {
		if got := p.due(tt.n, tt.ring, tt.until, tt.nodes, p.at.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
