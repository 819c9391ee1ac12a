package rtcp

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	senderInfoSize  = 20
	reportBlockSize = 24

	// MaxReports is the number of report blocks one packet can hold; their count has five bits.
	MaxReports = countMask

	minLost = -1 << 23
	maxLost = 1<<23 - 1
)

// SenderInfo is what a sender report says of its sender (RFC 3550 section 6.4.1).
type SenderInfo struct {
	NTP     uint64 // wall clock, 32.32 bits fixed point seconds since 1900
	RTP     uint32 // RTP timestamp of the same instant
	Packets uint32
	Octets  uint32 // of payload
}

// ReportBlock is what a receiver says of one source (RFC 3550 section 6.4.1).
type ReportBlock struct {
	SSRC            uint32
	FractionLost    uint8  // of 256, since the last report
	Lost            int32  // cumulative; 24 bits signed on the wire: duplicates count against losses
	HighestSequence uint32 // number of wraps << 16 | highest sequence number
	Jitter          uint32 // in units of the RTP clock
	LastSR          uint32 // middle 32 bits of the last sender report's NTP time, see [CompactNTP]; 0 for none
	DelaySinceSR    uint32 // since that report came, 1/65536 s
}

// RTT returns the round-trip time that the block shows when it arrives at now, which is on the clock the sender reports
// were stamped with, as [CompactNTP]. ok is false when the block refers to no report or the time is negative.
func (r *ReportBlock) RTT(now uint32) (rtt time.Duration, ok bool) {
	d := int32(now - r.LastSR - r.DelaySinceSR)
	if r.LastSR == 0 || d < 0 {
		return 0, false
	}
	return time.Duration(d) * time.Second >> 16, true
}

// SenderInfo returns the sender's part of a sender report.
func (p *Packet) SenderInfo() (info SenderInfo, ok bool) {
	if p.Type != TypeSenderReport || len(p.Body) < senderInfoSize {
		return SenderInfo{}, false
	}
	return SenderInfo{
		NTP:     binary.BigEndian.Uint64(p.Body),
		RTP:     binary.BigEndian.Uint32(p.Body[8:]),
		Packets: binary.BigEndian.Uint32(p.Body[12:]),
		Octets:  binary.BigEndian.Uint32(p.Body[16:]),
	}, true
}

// Reports returns an iterator over the report blocks of a sender or receiver report. Any other packet has none, and a
// report that is cut short has those that are whole.
func (p *Packet) Reports() Reports {
	body := p.Body
	switch {
	case p.Type == TypeSenderReport && len(body) >= senderInfoSize:
		body = body[senderInfoSize:]
	case p.Type != TypeReceiverReport:
		return Reports{}
	}
	return Reports{rest: body[:min(len(body), int(p.Format)*reportBlockSize)]}
}

// Reports iterates over report blocks.
type Reports struct{ rest []byte }

// Next returns the next report block; ok is false at the end.
func (r *Reports) Next() (block ReportBlock, ok bool) {
	b := r.rest
	if len(b) < reportBlockSize {
		return ReportBlock{}, false
	}
	r.rest = b[reportBlockSize:]
	return ReportBlock{
		SSRC:            binary.BigEndian.Uint32(b),
		FractionLost:    b[4],
		Lost:            int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8, // the shift back extends the sign
		HighestSequence: binary.BigEndian.Uint32(b[8:]),
		Jitter:          binary.BigEndian.Uint32(b[12:]),
		LastSR:          binary.BigEndian.Uint32(b[16:]),
		DelaySinceSR:    binary.BigEndian.Uint32(b[20:]),
	}, true
}

// AppendSenderReport appends a sender report of ssrc with the first [MaxReports] of the blocks.
func AppendSenderReport(dst []byte, ssrc uint32, info SenderInfo, blocks []ReportBlock) []byte {
	blocks = blocks[:min(len(blocks), MaxReports)]
	size := headerSize + 4 + senderInfoSize + len(blocks)*reportBlockSize
	dst = appendHeader(dst, TypeSenderReport, uint8(len(blocks)), size)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = binary.BigEndian.AppendUint64(dst, info.NTP)
	dst = binary.BigEndian.AppendUint32(dst, info.RTP)
	dst = binary.BigEndian.AppendUint32(dst, info.Packets)
	dst = binary.BigEndian.AppendUint32(dst, info.Octets)
	return appendReports(dst, blocks)
}

// AppendReceiverReport appends a receiver report of ssrc with the first [MaxReports] of the blocks; it may have none.
func AppendReceiverReport(dst []byte, ssrc uint32, blocks []ReportBlock) []byte {
	blocks = blocks[:min(len(blocks), MaxReports)]
	dst = appendHeader(dst, TypeReceiverReport, uint8(len(blocks)), headerSize+4+len(blocks)*reportBlockSize)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	return appendReports(dst, blocks)
}

func appendReports(dst []byte, blocks []ReportBlock) []byte {
	for i := range blocks {
		r := &blocks[i]
		lost := uint32(min(max(r.Lost, minLost), maxLost)) & 0xffffff
		dst = binary.BigEndian.AppendUint32(dst, r.SSRC)
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.FractionLost)<<24|lost)
		dst = binary.BigEndian.AppendUint32(dst, r.HighestSequence)
		dst = binary.BigEndian.AppendUint32(dst, r.Jitter)
		dst = binary.BigEndian.AppendUint32(dst, r.LastSR)
		dst = binary.BigEndian.AppendUint32(dst, r.DelaySinceSR)
	}
	return dst
}

// ntpEpoch is the Unix epoch on the NTP time scale, seconds since 1900 (RFC 868).
const ntpEpoch = 2_208_988_800

// ToNTP turns nanoseconds since the Unix epoch into NTP time, modulo its era of 136 years.
func ToNTP(unixNano int64) uint64 {
	seconds, nanos := unixNano/int64(time.Second), unixNano%int64(time.Second)
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+int64(time.Second)
	}
	// Rounded up, so that FromNTP, which rounds down, gives back the very nanosecond.
	fraction := (uint64(nanos)<<32 + uint64(time.Second) - 1) / uint64(time.Second)
	return uint64(seconds+ntpEpoch)<<32 | fraction
}

// FromNTP turns NTP time of the present era (until 2036, and 1968 to that) and the next one (until 2104) into nanoseconds
// since the Unix epoch: times with the highest bit clear are of the next era (RFC 2030 section 3).
func FromNTP(ntp uint64) int64 {
	seconds := int64(ntp >> 32)
	if seconds <= math.MaxInt32 {
		seconds += 1 << 32
	}
	nanos := (ntp & math.MaxUint32) * uint64(time.Second) >> 32
	return (seconds-ntpEpoch)*int64(time.Second) + int64(nanos)
}

// CompactNTP returns the middle 32 bits of an NTP time: 16.16 bits fixed point seconds, as report blocks quote them.
func CompactNTP(ntp uint64) uint32 { return uint32(ntp >> 16) }
