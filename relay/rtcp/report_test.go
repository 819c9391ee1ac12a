package rtcp

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtcp"
)

func blocksOf(p *Packet) []ReportBlock {
	var got []ReportBlock
	for r := p.Reports(); ; {
		block, ok := r.Next()
		if !ok {
			return got
		}
		got = append(got, block)
	}
}

func TestReportsBothWays(t *testing.T) {
	info := SenderInfo{NTP: 0x0123456789abcdef, RTP: 0xfedcba98, Packets: 12, Octets: 3456}
	blocks := []ReportBlock{
		{SSRC: 1, FractionLost: 128, Lost: maxLost, HighestSequence: 0x1ffff, Jitter: 5, LastSR: 6, DelaySinceSR: 7},
		{SSRC: 2, FractionLost: 0, Lost: -3, HighestSequence: 9},
	}
	sr := only(t, AppendSenderReport(nil, 42, info, blocks))
	if got, ok := sr.SenderInfo(); !ok || got != info || sr.Sender != 42 {
		t.Errorf("sender %d, info %+v, %v", sr.Sender, got, ok)
	}
	if diff := cmp.Diff(blocks, blocksOf(sr)); diff != "" {
		t.Error(diff)
	}
	rr := only(t, AppendReceiverReport(nil, 42, blocks))
	if diff := cmp.Diff(blocks, blocksOf(rr)); diff != "" {
		t.Error(diff)
	}
	if _, ok := rr.SenderInfo(); ok {
		t.Error("a receiver report has no sender info")
	}
}

func TestReportsAsPionReadsThem(t *testing.T) {
	var sr pion.SenderReport
	if err := sr.Unmarshal(AppendSenderReport(nil, 1, SenderInfo{NTP: 2, RTP: 3, Packets: 4, Octets: 5},
		[]ReportBlock{{SSRC: 6, FractionLost: 7, Lost: 8, HighestSequence: 9, Jitter: 10, LastSR: 11, DelaySinceSR: 12}})); err != nil {
		t.Fatal(err)
	}
	want := pion.SenderReport{
		SSRC: 1, NTPTime: 2, RTPTime: 3, PacketCount: 4, OctetCount: 5,
		Reports: []pion.ReceptionReport{{
			SSRC: 6, FractionLost: 7, TotalLost: 8, LastSequenceNumber: 9, Jitter: 10, LastSenderReport: 11, Delay: 12,
		}},
	}
	if diff := cmp.Diff(want, sr); diff != "" {
		t.Error(diff)
	}
	var rr pion.ReceiverReport
	if err := rr.Unmarshal(AppendReceiverReport(nil, 1, nil)); err != nil || rr.SSRC != 1 || len(rr.Reports) != 0 {
		t.Errorf("%+v, %v", rr, err)
	}
}

func TestReportLimits(t *testing.T) {
	blocks := make([]ReportBlock, MaxReports+1)
	blocks[0].Lost, blocks[1].Lost = math.MaxInt32, math.MinInt32
	got := blocksOf(only(t, AppendReceiverReport(nil, 1, blocks)))
	if len(got) != MaxReports {
		t.Errorf("%d blocks", len(got))
	}
	if got[0].Lost != maxLost || got[1].Lost != minLost {
		t.Errorf("lost %d and %d are not clamped", got[0].Lost, got[1].Lost)
	}
	// A count that promises more than there is, and a profile-specific extension behind what was counted.
	if got := blocksOf(&Packet{Type: TypeReceiverReport, Format: 9, Body: make([]byte, 50)}); len(got) != 2 {
		t.Errorf("cut report: %d blocks", len(got))
	}
	if got := blocksOf(&Packet{Type: TypeReceiverReport, Format: 1, Body: make([]byte, 50)}); len(got) != 1 {
		t.Errorf("extended report: %d blocks", len(got))
	}
}

func TestRTT(t *testing.T) {
	tests := []struct {
		name  string
		now   uint32
		block ReportBlock
		want  time.Duration
		ok    bool
	}{
		// The example of RFC 3550 section 6.4.1, figure 2: 6.125 s.
		{"RFC 3550", 0xb710_8000, ReportBlock{LastSR: 0xb705_2000, DelaySinceSR: 0x0005_4000}, 6125 * time.Millisecond, true},
		{"over the wrap", 0x0000_8000, ReportBlock{LastSR: 0xffff_8000}, time.Second, true},
		{"no report yet", 0x0000_8000, ReportBlock{}, 0, false},
		{"negative", 0x0001_0000, ReportBlock{LastSR: 0x0001_0000, DelaySinceSR: 1}, 0, false},
	}
	for _, tt := range tests {
		if got, ok := tt.block.RTT(tt.now); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestNTP(t *testing.T) {
	if got := ToNTP(0); got != 2208988800<<32 {
		t.Errorf("Unix epoch is %#x", got)
	}
	if got := ToNTP(500_000_000); got != 2208988800<<32|1<<31 {
		t.Errorf("half a second is %#x", got)
	}
	for _, at := range []time.Time{
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(2026, 11, 22, 1, 2, 3, 123_456_789, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 15, 999_999_999, time.UTC), // last second of the era
		time.Date(2036, 2, 7, 6, 28, 16, 1, time.UTC),
		time.Date(2099, 1, 1, 0, 0, 0, 7, time.UTC),
	} {
		if got := FromNTP(ToNTP(at.UnixNano())); got != at.UnixNano() {
			t.Errorf("%v came back %v later", at, time.Duration(got-at.UnixNano()))
		}
	}
	if got := CompactNTP(0x11112222_33334444); got != 0x22223333 {
		t.Errorf("compact %#x", got)
	}
}
