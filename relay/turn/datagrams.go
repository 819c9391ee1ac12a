package turn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/udp"
)

const (
	// maxRequest is the largest STUN message taken. A Send indication holds a whole packet of a peer.
	maxRequest = 2048
	// queueSize is how many requests of UDP clients may wait.
	queueSize = 1024
)

// client is the way back to a UDP client: either a socket or a function.
type client struct {
	addr   netip.AddrPort
	socket *udp.Socket
	reply  func(b []byte, to netip.AddrPort) error
}

// send sends frames of size bytes each, the last one maybe shorter. What cannot be sent is lost, as UDP is, and counted by
// the socket.
func (c *client) send(b []byte, size int) {
	if c.socket != nil {
		_ = c.socket.WriteSegments(b, size, c.addr)
		return
	}
	for len(b) > 0 {
		n := min(size, len(b))
		_ = c.reply(b[:n], c.addr)
		b = b[n:]
	}
}

// request is a STUN message of a UDP client on its way to pion/turn.
type request struct {
	exchange
	client client
	addr   *net.UDPAddr // pion/turn's name of the client; the object, not its value, leads back to here
	buffer *[maxRequest]byte
	length int
}

// datagrams is the net.PacketConn that pion/turn reads UDP clients' requests from. Its bound is queueSize; beyond, requests are
// dropped and counted: clients repeat them.
type datagrams struct {
	server  *Server
	queue   chan *request
	current atomic.Pointer[request] // the one that pion/turn is handling
	done    chan struct{}
	once    sync.Once
	local   *net.UDPAddr
}

var _ net.PacketConn = (*datagrams)(nil)

func newDatagrams(s *Server) *datagrams {
	return &datagrams{
		server: s,
		queue:  make(chan *request, queueSize),
		done:   make(chan struct{}),
		local:  &net.UDPAddr{IP: net.IPv6unspecified}, // one for all sockets: a client's family is its own address's
	}
}

var buffers = sync.Pool{New: func() any { return new([maxRequest]byte) }}

// handle sorts a datagram: data is relayed here and now, Binding is answered, requests are queued.
func (d *datagrams) handle(b []byte, c client) {
	s := d.server
	if len(b) >= 4 && b[0]&0xC0 == 0x40 {
		length := int(binary.BigEndian.Uint16(b[2:]))
		if r := s.relayAt(c.addr); r == nil || 4+length > len(b) || !r.toPeer(binary.BigEndian.Uint16(b), b[4:4+length]) {
			s.stats.Malformed.Add(1)
		}
		return
	}
	if !isMessage(b) || len(b) > maxRequest {
		s.stats.Malformed.Add(1)
		return
	}
	buffer := buffers.Get().(*[maxRequest]byte)
	if messageType(b) == typeBinding {
		if answer, ok := AppendBindingResponse(buffer[:0], b, c.addr); ok {
			s.stats.BindingAnswers.Add(1)
			c.send(answer, len(answer))
		}
		buffers.Put(buffer)
		return
	}
	if !s.admit(c.addr.Addr(), s.relayAt(c.addr)) {
		buffers.Put(buffer)
		return
	}
	r := &request{client: c, addr: net.UDPAddrFromAddrPort(c.addr), buffer: buffer, length: copy(buffer[:], b)}
	select {
	case d.queue <- r:
	default:
		buffers.Put(buffer)
		s.stats.QueueDropped.Add(1)
	}
}

// ReadFrom hands the next request to pion/turn, which handles it before it reads again.
func (d *datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case <-d.done:
		return 0, nil, net.ErrClosed
	default:
	}
	select {
	case <-d.done:
		return 0, nil, net.ErrClosed
	case r := <-d.queue:
		n := copy(p, r.buffer[:r.length])
		buffers.Put(r.buffer)
		r.buffer = nil
		r.raw = p[:n]
		d.current.Store(r)
		return n, r.addr, nil
	}
}

// WriteTo sends what pion/turn answers to a request, and the Data indications of an allocation.
func (d *datagrams) WriteTo(p []byte, to net.Addr) (int, error) {
	r := d.server.relayAt(addrPort(to))
	if r != nil {
		r.finish(p)
	}
	if req := d.current.Load(); req != nil && net.Addr(req.addr) == to {
		req.client.send(p, len(p))
	} else if r != nil {
		r.client.send(p, len(p))
	}
	return len(p), nil
}

func (d *datagrams) Close() error {
	d.once.Do(func() { close(d.done) })
	return nil
}

func (d *datagrams) LocalAddr() net.Addr { return d.local }

// Deadlines do not apply: nothing here waits for the network.

func (d *datagrams) SetDeadline(time.Time) error      { return nil }
func (d *datagrams) SetReadDeadline(time.Time) error  { return nil }
func (d *datagrams) SetWriteDeadline(time.Time) error { return nil }
