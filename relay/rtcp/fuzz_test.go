package rtcp

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtcp"
)

// FuzzNext walks whatever comes and, packet by packet, compares with pion what both accept.
func FuzzNext(f *testing.F) {
	b := AppendSenderReport(nil, 1, SenderInfo{NTP: 2, RTP: 3, Packets: 4, Octets: 5}, []ReportBlock{{SSRC: 6, Lost: 7}})
	b = AppendReceiverReport(b, 1, []ReportBlock{{SSRC: 6, Lost: -7}})
	f.Add(AppendCNAME(b, 1, "janus"))
	f.Add(AppendGoodbye(nil, 1, 2))
	f.Add(AppendNACK(nil, 1, 2, []uint16{3, 4, 65535}))
	f.Add(AppendFIR(AppendPLI(nil, 1, 2), 1, 2, 3))
	f.Add(AppendREMB(nil, 1, 1_000_000, []uint32{2, 3}))
	f.Add(marshal(f, &pion.ExtendedReport{
		SenderSSRC: 1, Reports: []pion.ReportBlock{&pion.ReceiverReferenceTimeReportBlock{NTPTimestamp: 2}},
	}))
	for _, arrivals := range [][]Arrival{{{1, 0}, {2, 1e6}}, {{1, 0}, {3, 1e6}, {4, 900e6}}, {{90, 9e9}, {91, 8e9}}} {
		b, _ := AppendTWCC(nil, 1, 2, 3, 0, arrivals)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			p, rest, err := Next(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			walk(&p)
			compare(t, &p, b[:len(b)-len(rest)])
			b = rest
		}
	})
}

// compare checks p, parsed from b, against pion if that accepts it. Where the two differ on purpose the comment says why.
func compare(t *testing.T, p *Packet, b []byte) {
	if b[0]&paddingBit != 0 {
		return // pion leaves padding in place in most packets
	}
	switch p.Kind() {
	case SenderReport:
		var oracle pion.SenderReport
		if oracle.Unmarshal(b) != nil {
			return
		}
		info, ok := p.SenderInfo()
		want := SenderInfo{NTP: oracle.NTPTime, RTP: oracle.RTPTime, Packets: oracle.PacketCount, Octets: oracle.OctetCount}
		if !ok || info != want || p.Sender != oracle.SSRC {
			t.Fatalf("%+v, pion %+v", info, oracle)
		}
		compareReports(t, p, oracle.Reports)
	case ReceiverReport:
		var oracle pion.ReceiverReport
		if oracle.Unmarshal(b) != nil {
			return
		}
		compareReports(t, p, oracle.Reports)
	case NACK:
		var oracle pion.TransportLayerNack
		if oracle.Unmarshal(b) != nil {
			return
		}
		var want []uint16
		for _, pair := range oracle.Nacks {
			want = append(want, pair.PacketList()...)
		}
		if diff := cmp.Diff(want, nacksOf(p)); diff != "" || p.Sender != oracle.SenderSSRC || p.Media != oracle.MediaSSRC {
			t.Fatal(diff)
		}
	case PLI:
		var oracle pion.PictureLossIndication
		if oracle.Unmarshal(b) == nil && (p.Sender != oracle.SenderSSRC || p.Media != oracle.MediaSSRC) {
			t.Fatalf("%+v, pion %+v", p, oracle)
		}
	case FIR:
		var oracle pion.FullIntraRequest
		if oracle.Unmarshal(b) != nil {
			return
		}
		entries := p.FIRs()
		for _, want := range oracle.FIR {
			if ssrc, number, ok := entries.Next(); ssrc != want.SSRC || number != want.SequenceNumber || !ok {
				t.Fatalf("%d %d %v, pion %+v", ssrc, number, ok, want)
			}
		}
	case REMB:
		var oracle pion.ReceiverEstimatedMaximumBitrate
		if oracle.Unmarshal(b) != nil {
			return
		}
		bitrate, list, ok := p.REMB()
		var ssrcs []uint32
		for ssrc, more := list.Next(); more; ssrc, more = list.Next() {
			ssrcs = append(ssrcs, ssrc)
		}
		if !ok || !slices.Equal(ssrcs, oracle.SSRCs) {
			t.Fatalf("%v %v, pion %v", ssrcs, ok, oracle.SSRCs)
		}
		// pion clamps in float32 and reads a mantissa of zero as 2^23.
		if bitrate != 0 && bitrate < 1<<62 && float32(bitrate) != oracle.Bitrate {
			t.Fatalf("%d, pion %v", bitrate, oracle.Bitrate)
		}
	case TWCC:
		compareTWCC(t, p, b)
	case Goodbye:
		var oracle pion.Goodbye
		if oracle.Unmarshal(b) != nil {
			return
		}
		list := p.Goodbyes()
		for _, want := range oracle.Sources {
			if ssrc, ok := list.Next(); ssrc != want || !ok {
				t.Fatalf("%d %v, pion %d", ssrc, ok, want)
			}
		}
	case SourceDescription:
		var oracle pion.SourceDescription
		if oracle.Unmarshal(b) != nil || int(p.Format) != len(oracle.Chunks) {
			return
		}
		got := sourcesOf(p)
		for i, chunk := range oracle.Chunks {
			want := source{SSRC: chunk.Source}
			for _, item := range slices.Backward(chunk.Items) {
				if item.Type == pion.SDESCNAME {
					want.CNAME = item.Text
				}
			}
			if i >= len(got) || got[i] != want {
				t.Fatalf("chunk %d: %+v, pion %+v", i, got, chunk)
			}
		}
	}
}

func compareReports(t *testing.T, p *Packet, want []pion.ReceptionReport) {
	got := blocksOf(p)
	if len(got) != len(want) {
		t.Fatalf("%d blocks, pion %d", len(got), len(want))
	}
	for i, w := range want {
		lost := int32(w.TotalLost<<8) >> 8 // unsigned in pion
		if got[i] != (ReportBlock{w.SSRC, w.FractionLost, lost, w.LastSequenceNumber, w.Jitter, w.LastSenderReport, w.Delay}) {
			t.Fatalf("block %+v, pion %+v", got[i], w)
		}
	}
}

func compareTWCC(t *testing.T, p *Packet, b []byte) {
	var oracle pion.TransportLayerCC
	if oracle.Unmarshal(b) != nil {
		return
	}
	f, ok := p.TransportFeedback()
	if !ok {
		return // pion takes reserved symbols and runs of no length
	}
	if f.Base != oracle.BaseSequenceNumber || f.Count != int(oracle.PacketStatusCount) || f.Number != oracle.FbPktCount ||
		uint32(f.Reference)&0xffffff != oracle.ReferenceTime {
		t.Fatalf("%+v, pion %+v", f, oracle)
	}
	var deltas []int64
	for _, s := range statusesOf(f) {
		if s.Received {
			deltas = append(deltas, int64(s.Delta)*DeltaUnit.Microseconds())
		}
	}
	for i, want := range oracle.RecvDeltas[:min(len(oracle.RecvDeltas), len(deltas))] {
		if deltas[i] != want.Delta {
			t.Fatalf("delta %d: %d us, pion %d", i, deltas[i], want.Delta)
		}
	}
	if len(oracle.RecvDeltas) < len(deltas) {
		t.Fatalf("%d deltas, pion %d", len(deltas), len(oracle.RecvDeltas))
	}
}
