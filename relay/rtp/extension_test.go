package rtp

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtp"
)

type element struct {
	ID    uint8
	Value string
}

func elements(h *Header) []element {
	var got []element
	for e := h.Elements(); ; {
		id, value, ok := e.Next()
		if !ok {
			return got
		}
		got = append(got, element{id, string(value)})
	}
}

func TestElements(t *testing.T) {
	tests := []struct {
		name    string
		profile uint16
		body    string // hex
		want    []element
	}{
		{"one byte", 0xbede, "1061 426263 64 0000", []element{{1, "a"}, {4, "bcd"}}},
		{"padding between", 0xbede, "000010 6100 20 62 00", []element{{1, "a"}, {2, "b"}}},
		{"longest one-byte", 0xbede, "ef" + strings.Repeat("7a", 16) + "000000", []element{{14, strings.Repeat("z", 16)}}},
		{"id 15 stops", 0xbede, "1061 f062 2063", []element{{1, "a"}}},
		{"id 0 with length stops", 0xbede, "1061 016262 2063 00", []element{{1, "a"}}},
		{"overrun stops", 0xbede, "1061 2f62", []element{{1, "a"}}},
		{"two bytes", 0x1000, "0100 0201 61 ff02 6263 00 0000", []element{{1, ""}, {2, "a"}, {255, "bc"}}},
		{"application bits", 0x100f, "0f0161 00", []element{{15, "a"}}},
		{"two-byte overrun", 0x1000, "010161 0203 6162", []element{{1, "a"}}},
		{"two-byte lone id", 0x1000, "010161 02", []element{{1, "a"}}},
		{"other profile", 0x2000, "01016100", nil},
		{"empty", 0xbede, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := Header{Profile: tt.profile, Extensions: unhex(t, strings.ReplaceAll(tt.body, " ", ""))}
			if diff := cmp.Diff(tt.want, elements(&h)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExtension(t *testing.T) {
	h := Header{Profile: ProfileTwoByte, Extensions: []byte{1, 0, 2, 1, 'a', 2, 1, 'b'}}
	if got := h.Extension(1); got == nil || len(got) != 0 {
		t.Errorf("empty element: %v, want empty and not nil", got)
	}
	if got := h.Extension(2); string(got) != "a" {
		t.Errorf("repeated element: %q, want the first", got)
	}
	if got := h.Extension(3); got != nil {
		t.Errorf("missing element: %v", got)
	}
	if got := h.Extension(0); got != nil {
		t.Errorf("id 0: %v", got)
	}
}

func TestExtWriter(t *testing.T) {
	long := strings.Repeat("z", 17)
	tests := []struct {
		name    string
		add     []element
		profile uint16
		size    int // of the header
	}{
		{"nothing", nil, 0, 12},
		{"one byte", []element{{1, "a"}, {14, "bcd"}}, ProfileOneByte, 12 + 4 + 8},
		{"sixteen bytes", []element{{1, long[:16]}}, ProfileOneByte, 12 + 4 + 20},
		{"high id first", []element{{15, "a"}, {2, "b"}}, ProfileTwoByte, 12 + 4 + 8},
		{"long value late", []element{{1, "a"}, {2, "bcd"}, {3, "ef"}, {4, long}}, ProfileTwoByte, 12 + 4 + 3 + 5 + 4 + 19 + 1},
		{"empty value late", []element{{1, "a"}, {2, "bcd"}, {3, ""}}, ProfileTwoByte, 12 + 4 + 3 + 5 + 2 + 2},
		{"longest", []element{{1, strings.Repeat("y", 255)}}, ProfileTwoByte, 12 + 4 + 257 + 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := NewExtWriter(AppendHeader(nil, &Header{PayloadType: 96, SSRC: 5}))
			for _, e := range tt.add {
				if !w.Add(e.ID, []byte(e.Value)) {
					t.Fatalf("element %d refused", e.ID)
				}
			}
			packet := append(w.End(), "payload"...)
			var h Header
			if err := Parse(packet, &h); err != nil {
				t.Fatal(err)
			}
			if h.Profile != tt.profile || h.Len != tt.size {
				t.Errorf("profile %#x, %d bytes; want %#x, %d", h.Profile, h.Len, tt.profile, tt.size)
			}
			if diff := cmp.Diff(tt.add, elements(&h)); diff != "" {
				t.Error(diff)
			}
			if got := string(packet[h.Len:]); got != "payload" {
				t.Errorf("payload %q", got)
			}
			var oracle pion.Header
			if _, err := oracle.Unmarshal(packet); err != nil {
				t.Fatal("pion:", err)
			}
			for _, e := range tt.add {
				if got := oracle.GetExtension(e.ID); string(got) != e.Value {
					t.Errorf("pion reads %d as %q, want %q", e.ID, got, e.Value)
				}
			}
		})
	}
}

func TestExtWriterRefuses(t *testing.T) {
	header := AppendHeader(nil, &Header{})
	w := NewExtWriter(header)
	if w.Add(0, []byte("a")) {
		t.Error("id 0 taken")
	}
	if w.Add(1, make([]byte, 256)) {
		t.Error("256 bytes taken")
	}
	if !bytes.Equal(w.End(), header) {
		t.Error("refused elements left a trace")
	}
}

func TestExtWriterAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 200)
	long := make([]byte, 40)
	allocs := testing.AllocsPerRun(100, func() {
		w := NewExtWriter(AppendHeader(buf, &Header{PayloadType: 96}))
		w.Add(1, long[:3])
		w.Add(2, long[:1])
		w.Add(3, long)
		w.End()
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzExtWriter writes the elements that its input spells and reads them back.
func FuzzExtWriter(f *testing.F) {
	f.Add([]byte{1, 3, 'a', 'b', 'c', 2, 0, 20, 1, 'x'})
	f.Fuzz(func(t *testing.T, spelled []byte) {
		w := NewExtWriter(AppendHeader(nil, &Header{}))
		var want []element
		for len(spelled) >= 2 {
			id, n := spelled[0], min(int(spelled[1]), len(spelled)-2)
			value := spelled[2 : 2+n]
			if w.Add(id, value) {
				want = append(want, element{id, string(value)})
			}
			spelled = spelled[2+n:]
		}
		var h Header
		if err := Parse(w.End(), &h); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, elements(&h)); diff != "" {
			t.Error(diff)
		}
	})
}

func BenchmarkExtWriter(b *testing.B) {
	buf := make([]byte, 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		w := NewExtWriter(AppendHeader(buf, &Header{PayloadType: 96}))
		w.Add(2, []byte{1, 2, 3})
		w.Add(3, []byte{1, 2})
		w.Add(4, []byte{'0'})
		w.End()
	}
}
