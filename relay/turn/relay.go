package turn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/udp"
)

// relay is one allocation's relayed transport address: the net.PacketConn that pion/turn relays by. Only packets without a
// channel get that far.
type relay struct {
	server *Server
	socket *udp.Socket
	public *net.UDPAddr // as told to the client; the object is the relay's name to pion/turn
	user   string       // that quotas count; empty for a port that is only probed

	// Set once, before pion/turn reads, and then as said.
	username string // that the allocation was made with
	key      []byte
	client   client  // of UDP
	stream   *stream // of the others
	attached bool    // the server waits for the goroutine that reads

	sent atomic.Bool // the client has sent a peer something since [Server.InUse] looked
	used time.Time   // when InUse last saw that; guarded by Server.useMu

	mu       sync.RWMutex
	closed   bool
	byNumber map[uint16]*channel
	byPeer   map[netip.AddrPort]*channel // by the address packets come from
	lifetime *time.Timer                 // the cap, where pion/turn granted more

	// Owned by the goroutine that reads.
	batch []udp.Datagram
	next  int
	count int
	run   *run
}

var _ net.PacketConn = (*relay)(nil)

// channel is a bound channel (RFC 8656 section 12).
type channel struct {
	number uint16
	peer   netip.AddrPort // as the client names it
	wire   netip.AddrPort // where it is
	// permitted is the policy under which the peer was last found permitted, so that a packet costs one comparison.
	permitted atomic.Pointer[policy]
}

func (c *channel) permits(p *policy) bool {
	if c.permitted.Load() == p {
		return true
	}
	if !p.permits(c.peer) {
		return false
	}
	c.permitted.Store(p)
	return true
}

func (r *relay) bind(number uint16, peer netip.AddrPort) {
	c := &channel{number: number, peer: peer, wire: r.server.mapping.wire(peer)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byNumber[number] = c
	r.byPeer[c.wire] = c
}

func (r *relay) unbind(number uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.byNumber[number]; c != nil {
		delete(r.byNumber, number)
		if r.byPeer[c.wire] == c { // another name of the same host may have come later
			delete(r.byPeer, c.wire)
		}
	}
}

// toPeer relays the payload of ChannelData; false if there is no such channel.
func (r *relay) toPeer(number uint16, data []byte) bool {
	r.mu.RLock()
	c := r.byNumber[number]
	r.mu.RUnlock()
	if c == nil {
		return false
	}
	s := r.server
	if !c.permits(s.policyOf(r.user)) {
		s.stats.DeniedPeers.Add(1)
		return true
	}
	r.touch()
	r.write(data, c.wire)
	return true
}

// write sends to a peer. What the socket refuses is lost and counted there: a client hears of it no more than it would
// from a router.
func (r *relay) write(data []byte, wire netip.AddrPort) {
	if r.socket.WriteTo(data, wire) == nil {
		r.server.stats.ToPeerPackets.Add(1)
		r.server.stats.ToPeerBytes.Add(uint64(len(data)))
	}
}

// WriteTo relays the data of a Send indication. pion/turn looked for a permission, which names no port; this does.
func (r *relay) WriteTo(p []byte, to net.Addr) (int, error) {
	peer := addrPort(to)
	if r.server.policyOf(r.user).permits(peer) {
		r.touch()
		r.write(p, r.server.mapping.wire(peer))
	} else {
		r.server.stats.DeniedPeers.Add(1)
	}
	return len(p), nil
}

// ReadFrom relays what peers with a channel send, and returns the next packet of another peer, for pion/turn to look for a
// permission and make a Data indication.
func (r *relay) ReadFrom(p []byte) (int, net.Addr, error) {
	if r.batch == nil {
		r.batch = make([]udp.Datagram, 64)
	}
	for {
		for r.next < r.count {
			d := r.batch[r.next]
			r.next++
			if peer, ok := r.fromPeer(d, len(p)); ok {
				r.flush()
				return copy(p, d.Data), net.UDPAddrFromAddrPort(peer), nil
			}
		}
		r.flush()
		n, err := r.socket.ReadBatch(r.batch)
		if err != nil {
			if r.attached {
				r.attached = false
				r.server.running.Done()
			}
			return 0, nil, err
		}
		r.next, r.count = 0, n
	}
}

// fromPeer relays a packet if its sender has a channel. ok says that it is pion/turn's, from a sender of that name.
func (r *relay) fromPeer(d udp.Datagram, room int) (peer netip.AddrPort, ok bool) {
	s := r.server
	r.mu.RLock()
	c := r.byPeer[d.From]
	r.mu.RUnlock()
	p := s.policyOf(r.user)
	if c == nil {
		peer = s.mapping.named(d.From)
		if len(d.Data) > room {
			s.stats.Malformed.Add(1)
			return peer, false
		}
		if !p.permits(peer) {
			s.stats.DeniedPeers.Add(1)
			return peer, false
		}
		return peer, true
	}
	if !c.permits(p) {
		s.stats.DeniedPeers.Add(1)
		return peer, false
	}
	s.stats.FromPeerPackets.Add(1)
	s.stats.FromPeerBytes.Add(uint64(len(d.Data)))
	if r.run == nil {
		r.run = runs.Get().(*run)
	}
	if !r.run.fits(len(d.Data), r.stream != nil) {
		r.run.flush(r)
	}
	r.run.add(c.number, d.Data, r.stream != nil)
	return peer, false
}

// flush sends what is left of a batch and gives its memory back: an idle allocation holds none.
func (r *relay) flush() {
	if r.run != nil {
		r.run.flush(r)
		runs.Put(r.run)
		r.run = nil
	}
}

// run gathers ChannelData messages to one client: to a UDP client as many as one GSO message takes, of one size but for
// the last, to others a piece of the stream.
type run struct {
	buffer [maxRun]byte
	length int
	count  int
	size   int // of each message but the last
}

const (
	// maxRun is the size of a GSO message that the kernel takes (and relay/udp), with room for the largest datagram.
	maxRun = 65000
	// maxRunMessages is the number of its segments.
	maxRunMessages = 64
)

var runs = sync.Pool{New: func() any { return new(run) }}

// fits tells whether a message with n bytes of data can join the run.
func (r *run) fits(n int, stream bool) bool {
	n += 4
	if stream {
		return r.length+n+3 <= maxRun
	}
	return r.count == 0 || r.length+n <= maxRun && n <= r.size && r.count < maxRunMessages && r.length == r.size*r.count
}

// add appends a ChannelData message: number, length, data, and on streams padding to 4 bytes (RFC 8656 section 12.5).
// Datagrams that no run can hold are lost; no network carries them either.
func (r *run) add(number uint16, data []byte, stream bool) {
	if len(data)+4+3 > maxRun {
		return
	}
	b := r.buffer[r.length:]
	binary.BigEndian.PutUint16(b, number)
	binary.BigEndian.PutUint16(b[2:], uint16(len(data)))
	n := 4 + copy(b[4:], data)
	if stream {
		for ; n%4 != 0; n++ {
			b[n] = 0
		}
	}
	if r.count == 0 {
		r.size = n
	}
	r.length += n
	r.count++
}

func (r *run) flush(to *relay) {
	if r.count == 0 {
		return
	}
	if to.stream != nil {
		_, _ = to.stream.write(r.buffer[:r.length]) // a connection that fails ends by itself
	} else {
		to.client.send(r.buffer[:r.length], r.size)
	}
	r.length, r.count = 0, 0
}

// expireIn ends the allocation after d unless it is called again; 0 leaves it to pion/turn.
func (r *relay) expireIn(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lifetime != nil {
		r.lifetime.Stop()
		r.lifetime = nil
	}
	if d > 0 && !r.closed {
		r.lifetime = time.AfterFunc(d, func() { r.Close() }) // pion/turn's reader sees it and deletes the allocation
	}
}

// Close frees the port and everything that counts the allocation. It may be called more than once.
func (r *relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	if r.lifetime != nil {
		r.lifetime.Stop()
	}
	r.mu.Unlock()
	r.server.forget(r)
	if r.stream != nil {
		r.stream.detach(r)
	}
	if err := r.socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (r *relay) LocalAddr() net.Addr { return r.public }

// Deadlines do not apply: only Close ends reading, and writing never waits.

func (r *relay) SetDeadline(time.Time) error      { return nil }
func (r *relay) SetReadDeadline(time.Time) error  { return nil }
func (r *relay) SetWriteDeadline(time.Time) error { return nil }
