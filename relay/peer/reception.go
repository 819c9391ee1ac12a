package peer

import (
	"cardea/relay/quality"
	"cardea/relay/rtcp"
)

// reception keeps what a receiver report says of one source (RFC 3550 section 6.4.1 and appendix A).
type reception struct {
	started        bool
	base, highest  int64
	packets        uint64 // received, without retransmissions
	bytes          uint64
	repaired       uint64
	nacked         uint64
	jitter         float64 // in timestamp units
	transit        int64
	expectedBefore int64 // at the last report
	receivedBefore uint64
	lostBefore     int64          // at the last second
	arrived        quality.Losses // by themselves
	repairs        quality.Losses // or by repair
}

// packet notes a packet that arrived.
func (r *reception) packet(seq int64, timestamp, clockRate uint32, size int, now int64) {
	arrival := now / 1000 * int64(clockRate) / 1e6
	transit := arrival - int64(timestamp)
	if !r.started {
		r.started, r.base, r.highest = true, seq, seq
	} else {
		d := int64(int32(transit - r.transit)) //nolint:gosec // timestamps are modular
		r.jitter += (float64(max(d, -d)) - r.jitter) / 16
	}
	r.transit = transit
	r.base = min(r.base, seq)
	r.highest = max(r.highest, seq)
	r.packets++
	r.bytes += uint64(size) //nolint:gosec // sizes are positive
}

// lost is the number of packets that never came, and were not repaired.
func (r *reception) lost() int64 {
	if !r.started {
		return 0
	}
	return max(r.highest-r.base+1-int64(r.packets)-int64(r.repaired), 0) //nolint:gosec // counters of one peer
}

// lostSince returns how many packets were lost since the last call.
func (r *reception) lostSince() int {
	now := r.lost()
	n := now - r.lostBefore
	r.lostBefore = now
	return int(max(n, 0))
}

// count takes note of the totals.
func (r *reception) count() {
	expected := r.highest - r.base + 1
	r.arrived.Total(expected, max(expected-int64(r.packets), 0)) //nolint:gosec // counters of one peer
	r.repairs.Total(expected, r.lost())
}

// report fills a report block; the caller adds the last sender report. What was repaired counts as lost: the report is
// about the path.
func (r *reception) report(ssrc uint32) rtcp.ReportBlock {
	expected := r.highest - r.base + 1
	interval, received := expected-r.expectedBefore, int64(r.packets-r.receivedBefore) //nolint:gosec // counters of one peer
	r.expectedBefore, r.receivedBefore = expected, r.packets
	var fraction uint8
	if lost := interval - received; interval > 0 && lost > 0 {
		fraction = uint8(min(lost*256/interval, 255)) //nolint:gosec // bounded
	}
	return rtcp.ReportBlock{
		SSRC: ssrc, FractionLost: fraction, Lost: int32(min(max(expected-int64(r.packets), 0), 1<<23-1)), //nolint:gosec // bounded
		HighestSequence: uint32(r.highest), Jitter: uint32(r.jitter), //nolint:gosec // modular
	}
}

// senderReport is the last sender report of a source.
type senderReport struct {
	middle  uint32 // the middle 32 bits of its NTP timestamp
	arrival int64  // ns, 0 before the first
}

// delay returns the time since the report in units of 1/65536 s (DLSR).
func (s senderReport) delay(now int64) uint32 {
	if s.arrival == 0 {
		return 0
	}
	return uint32((now - s.arrival) * 65536 / 1e9) //nolint:gosec // fits for 18 hours
}
