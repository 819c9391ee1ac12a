package rtcp

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtcp"
	"pgregory.net/rapid"
)

func nacksOf(p *Packet) []uint16 {
	var got []uint16
	for n := p.NACKs(); ; {
		seq, ok := n.Next()
		if !ok {
			return got
		}
		got = append(got, seq)
	}
}

func TestAppendNACK(t *testing.T) {
	tests := []struct {
		name    string
		seqs    []uint16
		entries int
	}{
		{"one", []uint16{7}, 1},
		{"seventeen in a row", []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, 1},
		{"the eighteenth", []uint16{1, 18}, 2},
		{"over the wrap", []uint16{65534, 65535, 0, 1, 15}, 2},
		{"the wrap itself", []uint16{65535, 15}, 1},
		{"far apart", []uint16{1, 1000, 30000}, 3},
		{"descending", []uint16{9, 8}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := AppendNACK(nil, 1, 2, tt.seqs)
			if got := (len(b) - feedbackSize) / nackEntrySize; got != tt.entries {
				t.Errorf("%d entries, want %d", got, tt.entries)
			}
			p := only(t, b)
			if diff := cmp.Diff(tt.seqs, nacksOf(p)); diff != "" {
				t.Error(diff)
			}
			var oracle pion.TransportLayerNack
			if err := oracle.Unmarshal(b); err != nil {
				t.Fatal("pion:", err)
			}
			var got []uint16
			for _, pair := range oracle.Nacks {
				got = append(got, pair.PacketList()...)
			}
			if diff := cmp.Diff(tt.seqs, got); diff != "" || oracle.SenderSSRC != 1 || oracle.MediaSSRC != 2 {
				t.Error("pion:", diff)
			}
		})
	}
	if got := AppendNACK([]byte{1}, 1, 2, nil); len(got) != 1 {
		t.Errorf("a NACK of nothing: %x", got)
	}
}

func TestNACKRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfNDistinct(rapid.Uint16(), 1, 100, rapid.ID[uint16]).Draw(t, "seqs")
		slices.Sort(want)
		p, _, err := Next(AppendNACK(nil, 1, 2, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, nacksOf(&p)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestKeyframeRequests(t *testing.T) {
	pli := AppendPLI(nil, 1, 2)
	if p := only(t, pli); p.Kind() != PLI || p.Sender != 1 || p.Media != 2 {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff(marshal(t, &pion.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2}), pli); diff != "" {
		t.Error(diff)
	}

	fir := AppendFIR(nil, 1, 2, 3)
	oracle := pion.FullIntraRequest{SenderSSRC: 1, FIR: []pion.FIREntry{{SSRC: 2, SequenceNumber: 3}}}
	if diff := cmp.Diff(marshal(t, &oracle), fir); diff != "" {
		t.Error(diff)
	}
	oracle.FIR = append(oracle.FIR, pion.FIREntry{SSRC: 4, SequenceNumber: 5})
	entries := only(t, marshal(t, &oracle)).FIRs()
	for _, want := range oracle.FIR {
		ssrc, number, ok := entries.Next()
		if ssrc != want.SSRC || number != want.SequenceNumber || !ok {
			t.Errorf("entry %d, %d, %v; want %+v", ssrc, number, ok, want)
		}
	}
	if _, _, ok := entries.Next(); ok {
		t.Error("a third entry")
	}
}

func TestREMB(t *testing.T) {
	tests := []struct {
		bitrate, want uint64 // 18 significant bits
		ssrcs         []uint32
	}{
		{0, 0, nil},
		{1, 1, []uint32{1}},
		{262143, 262143, []uint32{1, 2, 3}},
		{262145, 262144, []uint32{1}},
		{2_000_000, 2_000_000, []uint32{1}},
		{1_234_567_891, 1_234_567_891 >> 13 << 13, []uint32{1}},
		{math.MaxUint64, (1<<18 - 1) << 46, []uint32{1}},
	}
	for _, tt := range tests {
		b := AppendREMB(nil, 9, tt.bitrate, tt.ssrcs)
		p := only(t, b)
		bitrate, list, ok := p.REMB()
		if bitrate != tt.want || !ok || p.Sender != 9 {
			t.Errorf("%d became %d, %v", tt.bitrate, bitrate, ok)
		}
		var ssrcs []uint32
		for ssrc, ok := list.Next(); ok; ssrc, ok = list.Next() {
			ssrcs = append(ssrcs, ssrc)
		}
		if diff := cmp.Diff(tt.ssrcs, ssrcs); diff != "" {
			t.Error(diff)
		}
		var oracle pion.ReceiverEstimatedMaximumBitrate
		if err := oracle.Unmarshal(b); err != nil {
			t.Fatal("pion:", err)
		}
		// pion reads a mantissa of zero as 2^23.
		if tt.want != 0 && oracle.Bitrate != float32(tt.want) || len(oracle.SSRCs) != len(tt.ssrcs) {
			t.Errorf("pion reads %+v, want %d", oracle, tt.want)
		}
	}
}

func TestREMBRefuses(t *testing.T) {
	for _, body := range []string{
		"",
		"52454d42 000000",
		"52454d43 00000001",          // another identifier
		"52454d42 02000001 00000001", // one SSRC of two
	} {
		p := Packet{Type: TypePayloadFeedback, Format: FormatREMB, Body: unhex(t, body)}
		if _, _, ok := p.REMB(); ok {
			t.Errorf("%s accepted", body)
		}
	}
	p := Packet{Type: TypePayloadFeedback, Format: FormatREMB, Body: unhex(t, "52454d42 00ffffff")}
	if bitrate, _, ok := p.REMB(); !ok || bitrate != math.MaxUint64 {
		t.Errorf("overflowing bitrate: %d, %v", bitrate, ok)
	}
}
