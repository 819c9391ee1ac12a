package shield

import "time"

const (
	// leastSize is the UDP payload that any path carries that carries QUIC or IPv6: 1,280 bytes less the headers.
	leastSize = 1232

	probeTimes  = 3 // of each size
	probePeriod = int64(200 * time.Millisecond)
	searchAgain = int64(60 * time.Second)
	// holeSpan is for how long no large packet arrives, while they are sent, before the path is taken to have shrunk. A report speaks of
	// the last second or two.
	holeSpan = int64(time.Second)
)

// probeSizes are the UDP payloads tried: an Ethernet path over IPv4 and what is left of it in common tunnels; the last is enough for
// packets of 1,310 bytes, which is what RTP of 1,250 needs.
var probeSizes = [...]int{1469, 1440, 1400, 1360, 1330}

// mtu finds out what datagrams the path carries (RFC 8899, with the far end's reports as acknowledgements).
type mtu struct {
	size   int // UDP payload that gets through
	rounds int // of probes sent in this search
	next   int64

	large int64 // when a packet that needs more than leastSize was last sent
	hole  int64 // since when none such arrives though they are sent, 0: they do
}

func (m *mtu) init() { m.size = leastSize }

// sent notes a packet that is sent.
func (m *mtu) sent(n int, now int64) {
	if n > leastSize && m.size > leastSize {
		m.large = now
	}
}

// probe sends probes when it is time to.
func (m *mtu) probe(s *session, now int64) {
	if now < m.next {
		return
	}
	if m.rounds == probeTimes || m.size >= probeSizes[0] {
		m.rounds = 0
		m.next = now + searchAgain
		return
	}
	m.rounds++
	m.next = now + probePeriod + s.rtt
	for _, size := range probeSizes {
		if size > m.size {
			b := s.encoder.wire[:size] // free between two parities
			clear(b[headerLen:])
			putHeader(b, kindProbe, now, uint32(m.rounds))
			s.encoder.out.put(b)
			s.emit(b)
		}
	}
}

// heard takes the size of the largest datagram that arrived at the far end of late. If large ones are sent and only small ones
// arrive the path has shrunk, and the search begins anew.
func (m *mtu) heard(largest int, now int64) {
	switch {
	case largest > leastSize:
		m.hole = 0
		m.size = max(m.size, min(largest, probeSizes[0]))
	case m.size == leastSize || now-m.large > holeSpan/4:
		m.hole = 0
	case m.hole == 0:
		m.hole = now
	case now-m.hole > holeSpan:
		m.init()
		m.hole, m.rounds, m.next = 0, 0, now+probePeriod
	}
}
