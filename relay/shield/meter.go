package shield

import "time"

const (
	// baseBucket and baseBuckets say for how long the least delay seen stands for the empty path: long enough to remember it
	// through a queue that stands for a while, short enough to follow clocks that drift and routes that change.
	baseBucket  = int64(10 * time.Second)
	baseBuckets = 6
)

// meter measures one direction at its receiver: bytes, and how long packets wait in queues on the way, which is their one-way
// delay above the least seen. Clocks need not agree.
type meter struct {
	started bool
	offset  uint32 // ticks between the clocks, plus the delay of the first packet

	buckets [baseBuckets]int64 // least delay in each, relative to offset
	bucket  int
	since   int64

	bytes   uint32
	least   int64 // queueing delay since the last report, ns; -1: none
	sum     int64
	count   int64
	largest [2]int // datagram size in this and the last second
	second  int64

	echo   uint32 // time in the last packet
	echoAt int64
}

func (m *meter) packet(sent uint32, size int, now int64) {
	m.bytes += uint32(size)
	m.echo, m.echoAt = sent, now
	if now-m.second > int64(time.Second) {
		m.second = now
		m.largest = [2]int{0, m.largest[0]}
	}
	m.largest[0] = max(m.largest[0], size)

	raw := (ticks(now) - sent) & tickMask
	if !m.started {
		m.started, m.offset, m.since, m.least = true, raw, now, -1
		for i := range m.buckets {
			m.buckets[i] = 1 << 62
		}
		m.buckets[0] = 0
	}
	d := ticksSince(raw, m.offset)
	if now-m.since > baseBucket {
		m.since = now
		m.bucket = (m.bucket + 1) % baseBuckets
		m.buckets[m.bucket] = d
	}
	m.buckets[m.bucket] = min(m.buckets[m.bucket], d)
	base := m.buckets[0]
	for _, b := range m.buckets {
		base = min(base, b)
	}
	d -= base
	if m.least < 0 || d < m.least {
		m.least = d
	}
	m.sum += d
	m.count++
}

// fill writes what was measured into a report and begins anew.
func (m *meter) fill(r *report, now int64) {
	r.echo, r.hold = m.echo, duration16(now-m.echoAt)
	r.bytes = m.bytes
	r.largest = uint16(min(max(m.largest[0], m.largest[1]), 1<<16-1))
	r.delay, r.mean = 0, 0
	if m.count > 0 {
		r.delay, r.mean = duration16(m.least), duration16(m.sum/m.count)
	}
	m.least, m.sum, m.count = -1, 0, 0
}
