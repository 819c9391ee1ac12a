package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"

	"cardea/relay/ice"
	"cardea/relay/peer"
	"cardea/relay/rtcp"
	"cardea/relay/stream"
	"cardea/relay/turn"
	"cardea/relay/udp"
)

// readBatch is how many datagrams one read may bring: what arrives together is forwarded together.
const readBatch = 256

// The first byte of a datagram tells its protocol (RFC 7983).
const (
	stunEnd      = 4
	dtlsBegin    = 20
	dtlsEnd      = 64
	channelEnd   = 80
	rtpBegin     = 128
	rtpEnd       = 192
	replySize    = 256
	minMediaSize = 12
)

// loop owns one socket: it reads, and what it reads it handles to the end.
type loop struct {
	relay  *Relay
	socket int32
	out    *udp.Outbox
	known  *cache
	at     *peer.Peer // the one whose datagram is being handled, to know whose fault a panic is
	dirty  []*stream.Stream
	reply  [replySize]byte
	check  ice.Message
}

func (r *Relay) newLoop(socket int) *loop {
	return &loop{relay: r, socket: int32(socket), out: udp.NewOutbox(r.sockets), known: newCache(r.routes)} //nolint:gosec // few sockets
}

// run reads until the socket is closed.
func (l *loop) run() error {
	var in [readBatch]udp.Datagram
	socket := l.relay.sockets[l.socket]
	for {
		n, err := socket.ReadBatch(in[:])
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("read media socket %s: %w", socket.LocalAddr(), err)
		}
		now := l.relay.env.Clock.Now()
		for i := 0; i < n; {
			i = l.datagrams(in[:n], i, now)
		}
		l.flush(now)
	}
}

// datagrams handles datagrams from one on. It returns where to go on: behind the last one, or behind one whose handling
// panicked, which ends the peer it was for and not the node.
func (l *loop) datagrams(in []udp.Datagram, from int, now int64) (next int) {
	next = from
	defer func() {
		if r := recover(); r != nil {
			l.relay.fault(l.at, r, debug.Stack())
			next++
		}
	}()
	for ; next < len(in); next++ {
		l.datagram(in[next].Data, in[next].From, now)
	}
	return next
}

// datagram hands one datagram to whom it is for.
func (l *loop) datagram(b []byte, from netip.AddrPort, now int64) {
	l.at = nil
	if len(b) == 0 {
		return
	}
	switch first := b[0]; {
	case first >= rtpBegin && first < rtpEnd:
		if p := l.known.udp(from); p != nil {
			l.media(p, b, now)
		} else if !l.relay.receivers.feedback(b, from, now) {
			l.relay.metrics.Strangers.Add(1)
		}
	case first < stunEnd:
		l.stun(b, ice.Path{Remote: from, Socket: l.socket}, now)
	case first >= dtlsBegin && first < dtlsEnd:
		if p := l.known.udp(from); p != nil {
			l.at = p
			p.HandleDTLS(b)
		} else {
			l.relay.metrics.Strangers.Add(1)
		}
	case first >= dtlsEnd && first < channelEnd:
		l.turn(b, ice.Path{Remote: from, Socket: l.socket})
	default:
		l.relay.metrics.Rubbish.Add(1)
	}
}

// frame hands a packet that came over ICE-TCP to whom it is for. A panic ends that peer, not the node.
func (l *loop) frame(b []byte, path ice.Path, now int64) {
	defer func() {
		if r := recover(); r != nil {
			l.relay.fault(l.at, r, debug.Stack())
		}
	}()
	l.at = nil
	first := b[0]
	if first < stunEnd {
		l.stun(b, path, now)
		return
	}
	p := l.relay.routes.byPath(keyOf(path))
	switch {
	case p == nil:
		l.relay.metrics.Strangers.Add(1)
	case first >= rtpBegin && first < rtpEnd:
		l.media(p, b, now)
	case first >= dtlsBegin && first < dtlsEnd:
		l.at = p
		p.HandleDTLS(b)
	default:
		l.relay.metrics.Rubbish.Add(1)
	}
}

// media handles an SRTP or SRTCP packet.
func (l *loop) media(p *peer.Peer, b []byte, now int64) {
	l.at = p
	if len(b) < minMediaSize {
		l.relay.metrics.Rubbish.Add(1)
		return
	}
	if rtcp.IsRTCP(b) {
		p.HandleRTCP(b, now, l.out)
		return
	}
	if s := p.HandleRTP(b, now); s != nil {
		l.dirty = appendOnce(l.dirty, s)
	}
}

// appendOnce appends a stream unless it is there: few streams bring packets in one batch.
func appendOnce(dirty []*stream.Stream, s *stream.Stream) []*stream.Stream {
	for _, d := range slices.Backward(dirty) {
		if d == s {
			return dirty
		}
	}
	return append(dirty, s)
}

// flush forwards what the batch brought and sends it.
func (l *loop) flush(now int64) {
	for i, s := range l.dirty {
		s.Flush(now, l.out)
		l.dirty[i] = nil
	}
	l.dirty = l.dirty[:0]
	_ = l.out.Flush() // a closed socket is told by the next read
}

// stun answers connectivity checks and plain Binding requests, and gives TURN what is TURN's.
func (l *loop) stun(b []byte, path ice.Path, now int64) {
	if ice.Parse(b, &l.check) != nil {
		l.relay.metrics.Rubbish.Add(1)
		return
	}
	if l.check.Method != ice.MethodBinding {
		l.turn(b, path)
		return
	}
	local, _ := ice.Username(&l.check)
	if local == nil {
		if reply, ok := turn.AppendBindingResponse(l.reply[:0], b, path.Remote); ok {
			l.relay.metrics.Bindings.Add(1)
			l.send(reply, path)
		}
		return
	}
	p := l.relay.routes.byUfrag(local)
	if p == nil {
		l.relay.metrics.Strangers.Add(1)
		return
	}
	if owner := l.relay.routes.byPath(keyOf(path)); owner != nil && owner != p && owner.Holds(path, now) {
		l.relay.metrics.Strangers.Add(1)
		return
	}
	l.at = p
	if reply := p.HandleBinding(&l.check, path, now, l.reply[:0]); len(reply) > 0 {
		l.send(reply, path)
	}
}

// send puts a reply into the outbox, or onto its TCP connection.
func (l *loop) send(b []byte, path ice.Path) {
	if path.Conn != nil {
		_ = path.Conn.Write(b) // what a full queue drops, it counts
		return
	}
	copy(l.out.Reserve(int(path.Socket), path.Remote, len(b)), b)
	l.out.Commit(len(b))
}

// turn gives TURN what came over UDP. Over TCP it has connections of its own.
func (l *loop) turn(b []byte, path ice.Path) {
	if l.relay.turn == nil || path.Conn != nil {
		l.relay.metrics.Rubbish.Add(1)
		return
	}
	l.relay.turn.HandleSocket(l.relay.sockets[l.socket], b, path.Remote)
}
