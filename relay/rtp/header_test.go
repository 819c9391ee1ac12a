package rtp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want Header
		err  error
	}{
		{
			name: "plain",
			in:   "80e0 1234 89abcdef 01020304 ff",
			want: Header{Marker: true, PayloadType: 96, SequenceNumber: 0x1234, Timestamp: 0x89abcdef, SSRC: 0x01020304, Len: 12},
		},
		{
			name: "padding and two CSRCs",
			in:   "a26f 0000 00000000 00000001 0000000a 0000000b",
			want: Header{Padding: true, PayloadType: 111, SSRC: 1, Len: 20},
		},
		{
			name: "one-byte extension",
			in:   "9060 0001 00000002 00000003 bede0001 10aa0000 55",
			want: Header{
				PayloadType: 96, SequenceNumber: 1, Timestamp: 2, SSRC: 3, Len: 20,
				Profile: ProfileOneByte, Extensions: []byte{0x10, 0xaa, 0, 0},
			},
		},
		{
			name: "empty extension",
			in:   "9060 0001 00000002 00000003 bede0000",
			want: Header{
				PayloadType: 96, SequenceNumber: 1, Timestamp: 2, SSRC: 3, Len: 16,
				Profile: ProfileOneByte, Extensions: []byte{},
			},
		},
		{name: "empty", in: "", err: ErrShort},
		{name: "eleven bytes", in: "8060 0001 00000002 000000", err: ErrShort},
		{name: "version 1", in: "4060 0001 00000002 00000003", err: ErrVersion},
		{name: "CSRC missing", in: "8160 0001 00000002 00000003 000000", err: ErrShort},
		{name: "extension header missing", in: "9060 0001 00000002 00000003 bede00", err: ErrShort},
		{name: "extension body missing", in: "9060 0001 00000002 00000003 bede0002 00000000", err: ErrShort},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := unhex(t, strings.ReplaceAll(tt.in, " ", ""))
			h := Header{Profile: 7, Extensions: []byte{9}} // leftovers of an earlier packet
			err := Parse(in, &h)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil {
				if diff := cmp.Diff(tt.want, h); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestAppendHeaderParsesBack(t *testing.T) {
	for _, h := range []Header{
		{PayloadType: 127, SequenceNumber: 0xffff, Timestamp: 0xffffffff, SSRC: 0xfffffffe, Marker: true, Padding: true, Len: 12},
		{PayloadType: 0, SequenceNumber: 1, Timestamp: 2, SSRC: 3, Len: 12},
	} {
		var got Header
		if err := Parse(AppendHeader(nil, &h), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestStripPadding(t *testing.T) {
	tests := []struct {
		in   string
		want string
		ok   bool
	}{
		{"aabb01", "aabb", true},
		{"aa000003", "aa", true},
		{"000003", "", true},
		{"", "", false},
		{"aa00", "aa00", false},
		{"aa03", "aa03", false},
	}
	for _, tt := range tests {
		got, ok := StripPadding(unhex(t, tt.in))
		if hex.EncodeToString(got) != tt.want || ok != tt.ok {
			t.Errorf("StripPadding(%s) = %x, %v; want %s, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzParse compares the parser with pion's: where pion accepts a packet, so must we, with the same contents. The
// other way round we are more lenient on purpose: pion refuses a packet whose extension elements are malformed.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, "80e0123489abcdef01020304ff"))
	f.Add(unhex(f, "906000010000000200000003bede000110aa000055"))
	f.Add(unhex(f, "926000010000000200000003000000040000000510000002050003010200000055"))
	f.Add(unhex(f, "906000010000000200000003bede0001f0aa0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		err := Parse(b, &h)
		if err == nil {
			if h.Len > len(b) || h.Len < HeaderSize {
				t.Fatalf("header of %d bytes in a packet of %d", h.Len, len(b))
			}
			for e := h.Elements(); ; {
				id, value, ok := e.Next()
				if !ok {
					break
				}
				if id == 0 || len(value) > twoByteMaxLen {
					t.Fatalf("element %d of %d bytes", id, len(value))
				}
			}
		}
		var oracle pion.Header
		n, oracleErr := oracle.Unmarshal(b)
		if oracleErr != nil || oracle.Version != 2 {
			return
		}
		if err != nil {
			t.Fatalf("refused (%v) what pion takes", err)
		}
		if h.Len != n || h.Marker != oracle.Marker || h.Padding != oracle.Padding || h.PayloadType != oracle.PayloadType ||
			h.SequenceNumber != oracle.SequenceNumber || h.Timestamp != oracle.Timestamp || h.SSRC != oracle.SSRC {
			t.Fatalf("got %+v, pion %+v", h, oracle)
		}
		if !oracle.Extension || (h.Profile != ProfileOneByte && h.Profile != ProfileTwoByte) {
			return // pion takes the two-byte form only with application bits of zero
		}
		for _, id := range oracle.GetExtensionIDs() {
			if id == 0 {
				return // malformed; pion goes on behind it, RFC 8285 section 4.2 says to stop
			}
			if got, want := h.Extension(id), oracle.GetExtension(id); !bytes.Equal(got, want) {
				t.Fatalf("extension %d: %x, pion %x", id, got, want)
			}
		}
	})
}

func BenchmarkParseTwoExtensions(b *testing.B) {
	packet := AppendHeader(nil, &Header{PayloadType: 96})
	w := NewExtWriter(packet)
	w.Add(3, []byte{1, 2})
	w.Add(4, []byte("0"))
	packet = append(w.End(), make([]byte, 1000)...)
	b.ReportAllocs()
	var h Header
	for b.Loop() {
		if Parse(packet, &h) != nil || h.Extension(4) == nil {
			b.Fatal("not found")
		}
	}
}
