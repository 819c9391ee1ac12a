package member

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link/wire"
)

// What fits into metadata. Names that are longer than leastName are cut further where all of these bounds together exceed it.
const (
	maxName      = 64 // bytes, of names and regions
	leastName    = 24
	maxVersion   = 32
	maxAddresses = 3
	maxMetadata  = memberlist.MetaMaxSize
	maxBody      = maxMetadata - (2 + ed25519.SignatureSize) - 3 // without what signing adds
)

// metadata is what travels of a [Node] in gossip. Numbers are never reused; what is unknown is skipped.
type metadata struct {
	Key        []byte   `pb:"1"`
	Pass       pass     `pb:"2"`
	Sequence   uint64   `pb:"3"` // the higher one is newer
	Name       string   `pb:"4"`
	Region     string   `pb:"5"`
	Version    string   `pb:"6"`
	State      uint8    `pb:"7"`
	Planes     uint8    `pb:"8"`
	Authority  bool     `pb:"9"`
	Load       uint8    `pb:"10"` // hundredths
	Addresses  [][]byte `pb:"11"`
	LinkPort   uint16   `pb:"12"`
	GossipPort uint16   `pb:"13"`
	Coordinate []byte   `pb:"14"`
	Started    int64    `pb:"15"` // Unix time, milliseconds
	Ring       uint64   `pb:"16"` // serial of the gossip keys it has
	Place      []byte   `pb:"17"`
	Capacity   uint32   `pb:"18"`
	Host       string   `pb:"19"`
	Ports      []byte   `pb:"20"`
	Public     [][]byte `pb:"21"`
}

// signedMetadata is metadata with its node's signature.
type signedMetadata struct {
	Metadata  []byte `pb:"1"`
	Signature []byte `pb:"2"`
}

// described is metadata that has been checked.
type described struct {
	Node
	sequence uint64
	ring     uint64
}

func metadataContent(cluster string, body []byte) []byte {
	return slices.Concat([]byte("cardea metadata\n"+cluster+"\n"), body)
}

// pack turns a node's description into metadata, which names and addresses too many are cut to fit.
func pack(n Node, p pass, key ed25519.PublicKey, sequence, ring uint64) metadata {
	m := metadata{
		Key: key, Pass: p, Sequence: sequence, Ring: ring,
		Name: clip(n.Name, maxName), Region: clip(n.Region, maxName), Version: clip(n.Version, maxVersion),
		State: uint8(n.State), Planes: uint8(n.Planes), Authority: n.Authority, Load: hundredths(n.Load),
		Coordinate: packCoordinate(n.Coordinate), Started: n.Started.UnixMilli(),
		Place: packPlace(n.Latitude, n.Longitude), Capacity: uint32(min(max(n.Capacity, 0), maxCapacity)), //nolint:gosec // bounded
		Ports: n.Doors.packPorts(), Public: n.Doors.packAddresses(),
	}
	if isHost(n.Doors.Host) {
		m.Host = n.Doors.Host
	}
	for _, a := range n.Links[:min(len(n.Links), maxAddresses)] {
		m.Addresses = append(m.Addresses, a.Addr().Unmap().WithZone("").AsSlice())
		m.LinkPort = a.Port()
	}
	for _, a := range n.Gossip {
		m.GossipPort = a.Port()
	}
	for most := maxName; most >= leastName && len(wire.Marshal(&m)) > maxBody; most -= 8 {
		m.Name, m.Region, m.Version = clip(m.Name, most), clip(m.Region, most), clip(m.Version, most)
		if n := len(m.Addresses); most < maxName && n > 1 { // the best of them is enough to reach it
			m.Addresses = m.Addresses[:n-1]
		}
	}
	return m
}

// maxCapacity bounds how many clients a node can be meant for.
const maxCapacity = 1 << 24

// sign returns metadata in the form that members accept.
func (m metadata) sign(cluster string, key ed25519.PrivateKey) []byte {
	body := wire.Marshal(&m)
	return wire.Marshal(&signedMetadata{body, ed25519.Sign(key, metadataContent(cluster, body))})
}

// parseMetadata reads metadata and checks that it is a member's own.
func parseMetadata(b []byte, a *authority, now time.Time) (described, error) {
	var s signedMetadata
	var m metadata
	if len(b) > maxMetadata {
		return described{}, errors.New("metadata: too long")
	}
	if err := wire.Unmarshal(b, &s); err != nil {
		return described{}, fmt.Errorf("metadata: %w", err)
	}
	if err := wire.Unmarshal(s.Metadata, &m); err != nil {
		return described{}, fmt.Errorf("metadata: %w", err)
	}
	if err := m.Pass.check(a, m.Key, now); err != nil {
		return described{}, fmt.Errorf("metadata: %w", err)
	}
	if !ed25519.Verify(m.Key, metadataContent(a.cluster(), s.Metadata), s.Signature) {
		return described{}, errors.New("metadata: not signed by its node")
	}
	return m.describe()
}

// describe is the inverse of pack.
func (m metadata) describe() (described, error) {
	d := described{sequence: m.Sequence, ring: m.Ring, Node: Node{
		ID: idOf(m.Key), Name: clip(m.Name, maxName), Region: clip(m.Region, maxName), Version: clip(m.Version, maxVersion),
		State: State(m.State), Planes: Planes(m.Planes), Authority: m.Authority, Load: float64(min(m.Load, 100)) / 100,
		Started: time.UnixMilli(m.Started), Capacity: int(min(m.Capacity, maxCapacity)), Doors: parseDoors(m.Host, m.Public, m.Ports),
	}}
	d.Latitude, d.Longitude = parsePlace(m.Place)
	if len(m.Addresses) == 0 || len(m.Addresses) > maxAddresses || m.LinkPort == 0 || m.GossipPort == 0 {
		return d, errors.New("metadata: no proper addresses")
	}
	for _, raw := range m.Addresses {
		ip, ok := netip.AddrFromSlice(raw)
		if ip = ip.Unmap(); !ok || ip.IsUnspecified() || ip.IsMulticast() {
			return d, errors.New("metadata: no proper addresses")
		}
		d.Links = append(d.Links, netip.AddrPortFrom(ip, m.LinkPort))
		d.Gossip = append(d.Gossip, netip.AddrPortFrom(ip, m.GossipPort))
	}
	d.Coordinate = parseCoordinate(m.Coordinate)
	return d, nil
}

// clip cuts a string to n bytes, at a whole character, without what would move a terminal's cursor.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func hundredths(f float64) uint8 {
	if !(f > 0) { // nor a number
		return 0
	}
	return uint8(math.Round(100 * min(f, 1)))
}

// The compact form of a coordinate: big-endian float32, the vector's components, then error, adjustment and height. The
// precision lost is below a nanosecond per second of distance.
const (
	dimensions      = 8 // coordinate.DefaultConfig's
	coordinateBytes = 4 * (dimensions + 3)
)

// packCoordinate returns the compact form, nil for none.
func packCoordinate(c *coordinate.Coordinate) []byte {
	if c == nil || len(c.Vec) != dimensions || !c.IsValid() {
		return nil
	}
	b := make([]byte, 0, coordinateBytes)
	for _, f := range append(slices.Clone(c.Vec), c.Error, c.Adjustment, c.Height) {
		b = appendFloat32(b, f)
	}
	return b
}

// maxCoordinate bounds each number of a coordinate: no two nodes are a minute apart.
const maxCoordinate = 60

// parseCoordinate is the inverse of packCoordinate. What is no coordinate gives nil.
func parseCoordinate(b []byte) *coordinate.Coordinate {
	if len(b) != coordinateBytes {
		return nil
	}
	var f [dimensions + 3]float64
	for i := range f {
		f[i] = float32At(b[4*i:])
		if !(math.Abs(f[i]) <= maxCoordinate) { // nor a number
			return nil
		}
	}
	c := &coordinate.Coordinate{Vec: slices.Clone(f[:dimensions]), Error: f[dimensions], Adjustment: f[dimensions+1], Height: f[dimensions+2]}
	if c.Error < 0 || c.Height < 0 {
		return nil
	}
	return c
}

func appendFloat32(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint32(b, math.Float32bits(float32(f)))
}

func float32At(b []byte) float64 {
	return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
}
