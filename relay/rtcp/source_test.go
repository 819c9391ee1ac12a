package rtcp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtcp"
)

type source struct {
	SSRC  uint32
	CNAME string
}

func sourcesOf(p *Packet) []source {
	var got []source
	for s := p.Sources(); ; {
		ssrc, name, ok := s.Next()
		if !ok {
			return got
		}
		got = append(got, source{ssrc, string(name)})
	}
}

func TestSources(t *testing.T) {
	tests := []struct {
		name   string
		format uint8
		body   string
		want   []source
	}{
		{"one", 1, "00000001 0102 6162 00000000", []source{{1, "ab"}}},
		{"name ends on a word", 1, "00000001 0101 6100 ", []source{{1, "a"}}},
		{"other items before", 1, "00000001 0201 7a 0101 61 0000", []source{{1, "a"}}},
		{"two chunks", 2, "00000001 0101 6100 00000002 0102 6263 00000000", []source{{1, "a"}, {2, "bc"}}},
		{"no items", 1, "00000001 00000000", []source{{1, ""}}},
		{"count says fewer", 1, "00000001 0101 6100 00000002 0101 6200", []source{{1, "a"}}},
		{"not terminated", 1, "00000001 0102 6162", nil},
		{"item overruns", 1, "00000001 0109 6162", nil},
		{"second chunk cut", 2, "00000001 0101 6100 000000", []source{{1, "a"}}},
	}
	for _, tt := range tests {
		p := Packet{Type: TypeSourceDescription, Format: tt.format, Body: unhex(t, tt.body)}
		if diff := cmp.Diff(tt.want, sourcesOf(&p)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestAppendCNAME(t *testing.T) {
	for _, name := range []string{"", "a", "ab", "abc", "janus", strings.Repeat("x", 255)} {
		b := AppendCNAME(nil, 7, name)
		if diff := cmp.Diff([]source{{7, name}}, sourcesOf(only(t, b))); diff != "" {
			t.Error(diff)
		}
		var oracle pion.SourceDescription
		if err := oracle.Unmarshal(b); err != nil {
			t.Fatalf("pion on %q: %v", name, err)
		}
		if got := oracle.Chunks[0]; got.Source != 7 || got.Items[0].Text != name {
			t.Errorf("pion reads %+v", got)
		}
	}
	if got := sourcesOf(only(t, AppendCNAME(nil, 7, strings.Repeat("x", 300)))); len(got[0].CNAME) != 255 {
		t.Errorf("long name of %d bytes", len(got[0].CNAME))
	}
}

func TestGoodbye(t *testing.T) {
	b := AppendGoodbye(nil, 1, 2)
	var got []uint32
	for g := only(t, b).Goodbyes(); ; {
		ssrc, ok := g.Next()
		if !ok {
			break
		}
		got = append(got, ssrc)
	}
	if diff := cmp.Diff([]uint32{1, 2}, got); diff != "" {
		t.Error(diff)
	}
	var oracle pion.Goodbye
	if err := oracle.Unmarshal(b); err != nil || len(oracle.Sources) != 2 {
		t.Errorf("pion: %+v, %v", oracle, err)
	}
	// A reason follows the sources (RFC 3550 section 6.6) and is not one of them.
	withReason := only(t, marshal(t, &pion.Goodbye{Sources: []uint32{5}, Reason: "bye bye"}))
	g := withReason.Goodbyes()
	if ssrc, ok := g.Next(); ssrc != 5 || !ok {
		t.Errorf("source %d, %v", ssrc, ok)
	}
	if ssrc, ok := g.Next(); ok {
		t.Errorf("reason taken for source %d", ssrc)
	}
}
