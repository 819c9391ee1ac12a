package shield

import (
	"net/netip"
	"time"
)

// Row is what a link's keepalives have measured.
type Row struct {
	Up       bool          // something valid came in within the last second and a half
	Heard    time.Duration // since something valid came in, or since there are keys
	RTT      time.Duration // smoothed; 0: not known yet
	LeastRTT time.Duration // the least seen
	Queue    time.Duration // how long packets to the remote wait on the way, of late
	Loss     float64       // share of packets to the remote lost, before repair
	Burst    float64       // mean number of packets lost in a row
	Late     float64       // share that parity did not repair, of late
	Parity   float64       // packets of parity per packet
	Size     int           // largest UDP payload that gets through
	Budget   int           // see [Conn.Budget]
	Overhead float64       // parity and repeats sent, as a share of what they are for, since the beginning

	// Duplicates counts packets that were here already: overtaken by their repair, or played again.
	Duplicates uint64

	Policed   uint64 // packets dropped for exceeding the budget for long
	Forged    uint64 // packets dropped for a wrong tag
	Malformed uint64 // packets with a right tag that make no sense
	Corrupt   uint64 // repairs that came to nonsense; like Malformed, a sign of a remote gone wrong
}

// Row returns what is known about the way to a remote; ok is false if it is not shielded.
func (c *Conn) Row(to netip.AddrPort) (row Row, ok bool) {
	r := c.remote(unmap(to))
	if r == nil {
		return Row{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.row(c.now()), true
}

// Budget returns how much may be handed down for a remote, in bit/s of QUIC packets: what the path is thought to bear, less parity. A remote
// that is not shielded has the initial rate.
func (c *Conn) Budget(to netip.AddrPort) int {
	r := c.remote(unmap(to))
	if r == nil {
		return c.cfg.InitialRate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.budget()
}

func (s *session) budget() int {
	const share = float64(MaxPacket-headerLen) / MaxPacket // of a packet, that is not header
	return int(s.control.rate * 8 * share / (1 + s.ratio))
}

func (s *session) row(now int64) Row {
	r := Row{
		Up: s.ready && now-s.heard < deadSpan, Heard: time.Duration(now - max(s.heard, s.made)), RTT: time.Duration(s.rtt), LeastRTT: time.Duration(s.least),
		Queue: time.Duration(s.last.mean) * time.Duration(durationTick),
		Loss:  s.losses.long, Burst: s.losses.burst(), Parity: s.ratio, Size: s.mtu.size, Budget: s.budget(),
		Late: s.losses.late, Duplicates: s.decoder.duplicates,
		Policed: s.policed, Forged: s.forged, Malformed: s.malformed, Corrupt: s.decoder.corrupt,
	}
	if s.dataOut > 0 {
		r.Overhead = float64(s.extraOut) / float64(s.dataOut)
	}
	return r
}
