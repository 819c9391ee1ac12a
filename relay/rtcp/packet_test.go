package rtcp

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtcp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// only parses b, which must hold exactly one packet.
func only(t testing.TB, b []byte) *Packet {
	t.Helper()
	p, rest, err := Next(b)
	if err != nil || len(rest) != 0 {
		t.Fatalf("Next(%x): rest %x, %v", b, rest, err)
	}
	return &p
}

func marshal(t testing.TB, p pion.Packet) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNext(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want Packet
		rest string
		err  error
	}{
		{
			name: "receiver report and what follows",
			in:   "80c90001 00000007 81cb0001 00000007",
			want: Packet{Type: TypeReceiverReport, Sender: 7, Body: []byte{}},
			rest: "81cb0001 00000007",
		},
		{
			name: "feedback",
			in:   "81ce0002 00000001 00000002",
			want: Packet{Type: TypePayloadFeedback, Format: FormatPLI, Sender: 1, Media: 2, Body: []byte{}},
		},
		{
			name: "padding",
			in:   "a1cb0002 00000007 00000004",
			want: Packet{Type: TypeGoodbye, Format: 1, Body: []byte{0, 0, 0, 7}},
		},
		{
			name: "extended report is passed",
			in:   "80cf0002 00000007 01020304",
			want: Packet{Type: TypeExtendedReport, Sender: 7, Body: []byte{1, 2, 3, 4}},
		},
		{name: "unknown type", in: "80df0000", want: Packet{Type: 223, Body: []byte{}}},
		{name: "empty", in: "", err: ErrShort},
		{name: "cut header", in: "80c900", err: ErrShort},
		{name: "cut body", in: "80c90001 000000", err: ErrShort},
		{name: "report without sender", in: "80c90000", err: ErrShort},
		{name: "feedback without media", in: "81ce0001 00000001", err: ErrShort},
		{name: "padding eats the sender", in: "a0c90001 00000004", err: ErrShort},
		{name: "padding of zero", in: "a0cb0001 00000000", err: ErrPadding},
		{name: "padding beyond the packet", in: "a0cb0001 00000005", err: ErrPadding},
		{name: "padding of nothing", in: "a0cb0000", err: ErrPadding},
		{name: "version 1", in: "40c90001 00000007", err: ErrVersion},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, rest, err := Next(unhex(t, tt.in))
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, p); diff != "" {
				t.Error(diff)
			}
			if got, want := hex.EncodeToString(rest), strings.ReplaceAll(tt.rest, " ", ""); got != want {
				t.Errorf("rest %s, want %s", got, want)
			}
		})
	}
}

func TestKind(t *testing.T) {
	tests := []struct {
		packetType, format uint8
		want               Kind
	}{
		{200, 3, SenderReport},
		{201, 0, ReceiverReport},
		{202, 1, SourceDescription},
		{203, 1, Goodbye},
		{204, 0, Other},
		{205, 1, NACK},
		{205, 15, TWCC},
		{205, 11, Other},
		{206, 1, PLI},
		{206, 2, Other},
		{206, 4, FIR},
		{206, 15, REMB},
		{207, 0, Other},
	}
	for _, tt := range tests {
		p := Packet{Type: tt.packetType, Format: tt.format}
		if got := p.Kind(); got != tt.want {
			t.Errorf("Kind of %d/%d = %d, want %d", tt.packetType, tt.format, got, tt.want)
		}
	}
}

func TestIsRTCP(t *testing.T) {
	tests := []struct {
		in   string
		want bool
	}{
		{"80c80001", true},
		{"80c00001", true},
		{"80df0001", true},
		{"80e00001", false}, // RTP, payload type 96 with marker
		{"806f0001", false}, // RTP, payload type 111
		{"80bf0001", false}, // RTP, payload type 63 with marker
		{"16c80001", false}, // DTLS
		{"80c8", false},
	}
	for _, tt := range tests {
		if got := IsRTCP(unhex(t, tt.in)); got != tt.want {
			t.Errorf("IsRTCP(%s) = %v", tt.in, got)
		}
	}
}

// Accessors of one kind give nothing on packets of another, whatever bytes follow.
func TestAccessorsKeepToTheirKind(t *testing.T) {
	body := make([]byte, 64)
	for packetType := range 256 {
		for format := range 32 {
			p := Packet{Type: uint8(packetType), Format: uint8(format), Body: body}
			kind := p.Kind()
			n, f, s, g, r := p.NACKs(), p.FIRs(), p.Sources(), p.Goodbyes(), p.Reports()
			_, nack := n.Next()
			_, _, fir := f.Next()
			_, _, sdes := s.Next()
			_, bye := g.Next()
			_, report := r.Next()
			_, info := p.SenderInfo()
			for k, gave := range map[Kind]bool{NACK: nack, FIR: fir, SourceDescription: sdes, Goodbye: bye, SenderReport: info} {
				if gave && kind != k {
					t.Fatalf("type %d/%d gave what belongs to kind %d", packetType, format, k)
				}
			}
			if report && kind != SenderReport && kind != ReceiverReport {
				t.Fatalf("type %d/%d gave a report block", packetType, format)
			}
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	buf := make([]byte, 0, 2000)
	blocks := []ReportBlock{{SSRC: 1}, {SSRC: 2}}
	arrivals := []Arrival{{1, 0}, {2, 5e6}, {9, 900e6}}
	ssrcs, seqs := []uint32{1, 2, 3}, []uint16{1, 2, 60}
	var sum uint64
	allocs := testing.AllocsPerRun(100, func() {
		b := AppendSenderReport(buf, 1, SenderInfo{}, blocks)
		b = AppendReceiverReport(b, 1, blocks)
		b = AppendCNAME(b, 1, "janus")
		b = AppendNACK(b, 1, 2, seqs)
		b = AppendREMB(b, 1, 1e6, ssrcs)
		b = AppendFIR(b, 1, 2, 3)
		b, _ = AppendTWCC(b, 1, 2, 3, 0, arrivals)
		b = AppendGoodbye(b, 1)
		for len(b) > 0 {
			p, rest, err := Next(b)
			if err != nil {
				t.Fatal(err)
			}
			sum += walk(&p)
			b = rest
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if sum == 0 {
		t.Error("nothing was read")
	}
}

// walk reads everything that accessors find in p and returns some number made of it.
func walk(p *Packet) (sum uint64) {
	if info, ok := p.SenderInfo(); ok {
		sum += info.NTP
	}
	for r := p.Reports(); ; {
		block, ok := r.Next()
		if !ok {
			break
		}
		sum += uint64(block.SSRC)
	}
	for s := p.Sources(); ; {
		ssrc, name, ok := s.Next()
		if !ok {
			break
		}
		sum += uint64(ssrc) + uint64(len(name))
	}
	for g := p.Goodbyes(); ; {
		ssrc, ok := g.Next()
		if !ok {
			break
		}
		sum += uint64(ssrc)
	}
	for n := p.NACKs(); ; {
		seq, ok := n.Next()
		if !ok {
			break
		}
		sum += uint64(seq)
	}
	for f := p.FIRs(); ; {
		ssrc, _, ok := f.Next()
		if !ok {
			break
		}
		sum += uint64(ssrc)
	}
	if bitrate, ssrcs, ok := p.REMB(); ok {
		for {
			ssrc, ok := ssrcs.Next()
			if !ok {
				break
			}
			sum += bitrate + uint64(ssrc)
		}
	}
	if f, ok := p.TransportFeedback(); ok {
		for {
			s, ok := f.Next()
			if !ok {
				break
			}
			sum += uint64(s.Sequence)
		}
	}
	return sum
}
