package peer

import (
	"time"

	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/udp"
)

// HandleBinding answers a connectivity check from a path and follows the client's nomination. The answer is appended to
// reply, which it returns; an empty one means silence.
func (p *Peer) HandleBinding(m *ice.Message, from ice.Path, now int64, reply []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return reply[:0]
	}
	resp, changed, err := p.agent.HandleBinding(m, from, now, reply)
	if err != nil {
		p.env.Metrics.ChecksRefused.Add(1)
		return resp
	}
	p.env.Routed(p, from)
	if changed {
		path, _ := p.agent.Selected()
		p.use(path)
	} else if p.dest.Load() == nil {
		p.use(from) // nothing is nominated yet, but here somebody with our password listens
	}
	p.startDTLS()
	return resp
}

// holdTime is how long after a peer was heard over its selected path no other peer can have that path. A client that has just got the port of
// one which is gone waits for it, and some try for 1.4 s only (seven checks, 200 ms apart).
const holdTime = int64(time.Second)

// Holds tells whether packets that come over the path are the peer's beyond doubt: it is the selected one, and the client was
// heard a moment ago. Somebody else's connectivity check that comes from there was replayed by who can forge addresses.
func (p *Peer) Holds(path ice.Path, now int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	dest := p.dest.Load()
	return !p.closed && dest != nil && *dest == path && now-p.agent.Heard() < holdTime
}

// use makes a path the one that packets leave by.
func (p *Peer) use(path ice.Path) {
	p.dest.Store(&path)
	p.protocol = "udp"
	if path.Conn != nil {
		p.protocol = "tcp"
	}
	p.log.Debug("path selected", "remote", path.Remote, "protocol", p.protocol)
	p.reportPath(p.env.Clock.Now())
}

// pathPause is the least time between two reports of paths: a client may move from path to path as fast as it sends checks.
const pathPause = int64(time.Second)

// reportPath tells of the selected path, now or, if that was done a moment ago, later.
func (p *Peer) reportPath(now int64) {
	path := p.dest.Load()
	if path != nil && *path == p.pathLast {
		p.pathUntold = false
		return
	}
	if p.pathUntold = path != nil && p.pathTold != 0 && now-p.pathTold < pathPause; p.pathUntold || path == nil {
		return
	}
	p.pathTold, p.pathLast = now, *path
	p.env.Emit(plane.Event{
		Peer: p.id, Type: plane.EventPath, Local: p.localEnd(*path), Remote: path.Remote.String(), Protocol: p.protocol,
	})
}

// localEnd is the node's end of a path, address:port.
func (p *Peer) localEnd(path ice.Path) string {
	if path.Conn != nil {
		return path.Conn.Local().String()
	}
	return p.env.Sockets[path.Socket].LocalAddr().String()
}

// PathClosed tells that a path is no more: its TCP connection has ended. If packets went there, they go another way the
// client has shown, or wait for it to show one.
func (p *Peer) PathClosed(path ice.Path) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.agent.Forget(path)
	if dest := p.dest.Load(); dest == nil || *dest != path {
		return
	}
	if other, ok := p.agent.Selected(); ok {
		p.use(other)
		return
	}
	p.dest.Store(nil)
}

// HandleDTLS takes a DTLS record that came over one of the peer's paths.
func (p *Peer) HandleDTLS(b []byte) {
	if p.out.Load() != nil && unprotected(b, !p.heard.Load()) {
		p.env.Metrics.AuthFailures.Add(1)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake()
	if p.wire != nil {
		p.wire.put(b)
	}
}

// send writes one packet to the selected path, if there is one.
func (p *Peer) send(b []byte) {
	path := p.dest.Load()
	switch {
	case path == nil:
	case path.Conn != nil:
		_ = path.Conn.Write(b) // what a full queue drops, it counts
	default:
		_ = p.env.Sockets[path.Socket].WriteTo(b, path.Remote) // counted there
	}
}

// room is space for one outgoing packet: in the batch of the calling loop or, over TCP, in a buffer of its own.
type room struct {
	buf  []byte
	path *ice.Path
	out  *udp.Outbox
}

// reserve returns space for a packet of n bytes to the path.
func reserve(out *udp.Outbox, path *ice.Path, n int) room {
	if path.Conn != nil {
		return room{buf: make([]byte, n), path: path} // framing copies anyway; TCP is the fallback of few
	}
	return room{buf: out.Reserve(int(path.Socket), path.Remote, n), path: path, out: out}
}

// commit sends the packet that was built in the space.
func (r room) commit(packet []byte) {
	if r.out != nil {
		r.out.Commit(len(packet))
		return
	}
	_ = r.path.Conn.Write(packet) // what a full queue drops, it counts
}

// checkICE ends a peer whose client never came or has gone silent.
func (p *Peer) checkICE(now int64) (down string) {
	state := p.agent.State(now)
	if state == p.state {
		return ""
	}
	was := p.state
	p.state = state
	switch state {
	case ice.Failed:
		p.env.Metrics.ICEFailures.Add(1)
		if was == ice.Disconnected {
			p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventICEFailed})
		}
		return "ICE failed"
	case ice.Disconnected:
		p.log.Info("the client has gone silent")
	default:
	}
	return ""
}
