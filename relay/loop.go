package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"

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
		for i := range in[:n] {
			l.datagram(in[i].Data, in[i].From, now)
		}
		l.flush(now)
	}
}

// datagram hands one datagram to whom it is for.
func (l *loop) datagram(b []byte, from netip.AddrPort, now int64) {
	if len(b) == 0 {
		return
	}
	switch first := b[0]; {
	case first >= rtpBegin && first < rtpEnd:
		if p := l.known.udp(from); p != nil {
			l.media(p, b, now)
		} else {
			l.relay.metrics.Strangers.Add(1)
		}
	case first < stunEnd:
		l.stun(b, ice.Path{Remote: from, Socket: l.socket}, now)
	case first >= dtlsBegin && first < dtlsEnd:
		if p := l.known.udp(from); p != nil {
			p.HandleDTLS(b)
		} else {
			l.relay.metrics.Strangers.Add(1)
		}
	case first >= dtlsEnd && first < channelEnd:
		l.turn(b, from)
	default:
		l.relay.metrics.Rubbish.Add(1)
	}
}

// media handles an SRTP or SRTCP packet. A fault in it ends that peer, not the node.
func (l *loop) media(p *peer.Peer, b []byte, now int64) {
	defer func() {
		if r := recover(); r != nil {
			l.relay.fault(p, r, debug.Stack())
		}
	}()
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
	for i := len(dirty) - 1; i >= 0; i-- {
		if dirty[i] == s {
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
		l.turn(b, path.Remote)
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
	if reply := p.HandleBinding(&l.check, path, now, l.reply[:0]); len(reply) > 0 {
		l.send(reply, path)
	}
}

// send puts a reply into the outbox, or onto its TCP connection.
func (l *loop) send(b []byte, path ice.Path) {
	if path.Conn != nil {
		path.Conn.Write(b)
		return
	}
	copy(l.out.Reserve(int(path.Socket), path.Remote, len(b)), b)
	l.out.Commit(len(b))
}

func (l *loop) turn(b []byte, from netip.AddrPort) {
	if l.relay.turn == nil {
		l.relay.metrics.Rubbish.Add(1)
		return
	}
	l.relay.turn.HandleDatagram(b, from, l.relay.sockets[l.socket].WriteTo)
}
