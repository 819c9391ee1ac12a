// Package geotest writes small MMDB files for tests: networks and what is said of each, in the format that databases of locations
// come in (https://maxmind.github.io/MaxMind-DB/, version 2.0).
package geotest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"testing"
)

// City is a record in MaxMind's schema.
func City(country string, latitude, longitude float64) map[string]any {
	return map[string]any{
		"country":  map[string]any{"iso_code": country, "names": map[string]any{"en": "Country " + country}},
		"location": map[string]any{"latitude": latitude, "longitude": longitude, "time_zone": "Etc/UTC"},
	}
}

// Country is a record in the flat schema of databases of countries.
func Country(code string) map[string]any { return map[string]any{"country_code": code} }

// Write writes a file with what is said of networks ("192.0.2.0/24"). Records hold maps, strings and float64.
func Write(t testing.TB, path string, networks map[string]map[string]any) {
	t.Helper()
	if err := os.WriteFile(path, Bytes(networks), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Bytes is what [Write] writes. It panics at what is no network: tests name them.
func Bytes(networks map[string]map[string]any) []byte {
	tree := trie{nodes: make([][2]int, 1)}
	var data []byte
	for _, text := range slices.Sorted(maps.Keys(networks)) {
		tree.insert(netip.MustParsePrefix(text), len(data))
		data = appendValue(data, networks[text])
	}
	var b bytes.Buffer
	for _, node := range tree.nodes {
		for _, child := range node {
			_ = binary.Write(&b, binary.BigEndian, tree.record(child)) // a buffer takes everything
		}
	}
	b.Write(make([]byte, separator))
	b.Write(data)
	b.WriteString("\xab\xcd\xefMaxMind.com")
	b.Write(appendValue(nil, map[string]any{
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint64(1_700_000_000),
		"database_type": "Test", "description": map[string]any{}, "ip_version": uint16(6), "languages": []any{},
		"node_count": uint32(len(tree.nodes)), "record_size": uint16(32), //nolint:gosec // tests are small
	}))
	return b.Bytes()
}

// separator is the length of what lies between tree and data; records that point to data count it.
const separator = 16

// trie is the search tree. Children are 0 for none, the index of a node, or -1 - offset for data.
type trie struct{ nodes [][2]int }

func (t *trie) insert(p netip.Prefix, offset int) {
	a, bits := p.Addr().As16(), p.Bits()
	if p.Addr().Is4() {
		clear(a[:12]) // IPv4 lies at ::/96
		bits += 96
	}
	at := 0
	for i := range bits {
		side := int(a[i/8]>>(7-i%8)) & 1
		if i == bits-1 {
			t.nodes[at][side] = -1 - offset
			return
		}
		next := t.nodes[at][side]
		if next < 0 {
			panic(fmt.Sprintf("%v lies in another network", p))
		}
		if next == 0 {
			next = len(t.nodes)
			t.nodes = append(t.nodes, [2]int{})
			t.nodes[at][side] = next
		}
		at = next
	}
}

func (t *trie) record(child int) uint32 {
	count := len(t.nodes)
	switch {
	case child == 0:
		return uint32(count) //nolint:gosec // tests are small
	case child < 0:
		return uint32(count + separator + -1 - child) //nolint:gosec // likewise
	}
	return uint32(child) //nolint:gosec // likewise
}

// Types of values. Those from 8 on are written in a byte of their own.
const (
	typeString = 2
	typeDouble = 3
	typeUint16 = 5
	typeUint32 = 6
	typeMap    = 7
	typeUint64 = 9
	typeArray  = 11
)

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(appendControl(b, typeString, len(v)), v...)
	case float64:
		return binary.BigEndian.AppendUint64(appendControl(b, typeDouble, 8), math.Float64bits(v))
	case uint16:
		return binary.BigEndian.AppendUint16(appendControl(b, typeUint16, 2), v)
	case uint32:
		return binary.BigEndian.AppendUint32(appendControl(b, typeUint32, 4), v)
	case uint64:
		return binary.BigEndian.AppendUint64(appendControl(b, typeUint64, 8), v)
	case []any:
		b = appendControl(b, typeArray, len(v))
		for _, item := range v {
			b = appendValue(b, item)
		}
		return b
	case map[string]any:
		b = appendControl(b, typeMap, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b = appendValue(appendValue(b, key), v[key])
		}
		return b
	}
	panic(fmt.Sprintf("%T cannot be written", v))
}

// appendControl writes a value's type and size. Sizes of 29 and more take another byte.
func appendControl(b []byte, kind, size int) []byte {
	const long = 29
	if size >= long+256 {
		panic("too long for a test")
	}
	high, extended := byte(kind)<<5, kind > 7
	if extended {
		high = 0
	}
	b = append(b, high|byte(min(size, long)))
	if extended {
		b = append(b, byte(kind-7))
	}
	if size >= long {
		b = append(b, byte(size-long))
	}
	return b
}
