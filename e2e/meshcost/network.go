package main

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// network joins memberlists in memory and counts what they say: packets with their headers, and what goes over streams without,
// since these are long. The zero value is ready.
type network struct {
	packets, bytes, longest, streams atomic.Int64

	mu   sync.Mutex
	ends map[string]*end
}

// end is a memberlist's end of the network.
type end struct {
	of       *network
	at       netip.AddrPort
	incoming chan *memberlist.Packet
	dialled  chan net.Conn
}

var _ memberlist.Transport = (*end)(nil)

// end makes another one.
func (n *network) end() *end {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends == nil {
		n.ends = map[string]*end{}
	}
	i := byte(len(n.ends) + 1)
	e := &end{
		of: n, at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 7946),
		incoming: make(chan *memberlist.Packet, 1000), dialled: make(chan net.Conn, 100),
	}
	n.ends[e.at.String()] = e
	return e
}

func (n *network) find(address string) (*end, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.ends[address]; e != nil {
		return e, nil
	}
	return nil, errors.New("nobody is at " + address)
}

// FinalAdvertiseAddr returns where this end is.
func (e *end) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.at.Addr().AsSlice(), int(e.at.Port()), nil
}

// WriteTo sends a packet. It is lost if too many wait for whom it is to reach.
func (e *end) WriteTo(b []byte, address string) (time.Time, error) {
	now := time.Now()
	to, err := e.of.find(address)
	if err != nil {
		return now, err
	}
	size := int64(len(b) + headers)
	e.of.packets.Add(1)
	e.of.bytes.Add(size)
	for old := e.of.longest.Load(); size > old && !e.of.longest.CompareAndSwap(old, size); old = e.of.longest.Load() {
	}
	select {
	case to.incoming <- &memberlist.Packet{Buf: append([]byte{}, b...), From: net.UDPAddrFromAddrPort(e.at), Timestamp: now}:
	default:
	}
	return now, nil
}

// PacketCh yields the packets that come.
func (e *end) PacketCh() <-chan *memberlist.Packet { return e.incoming }

// DialTimeout opens a stream.
func (e *end) DialTimeout(address string, _ time.Duration) (net.Conn, error) {
	to, err := e.of.find(address)
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	select {
	case to.dialled <- there:
		return &countedConn{here, e.of}, nil
	default:
		return nil, errors.New("too many streams")
	}
}

// StreamCh yields the streams that others open.
func (e *end) StreamCh() <-chan net.Conn { return e.dialled }

// Shutdown has nothing to close.
func (e *end) Shutdown() error { return nil }

// countedConn counts both directions.
type countedConn struct {
	net.Conn
	of *network
}

// Read counts.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.of.streams.Add(int64(n))
	return n, err
}

// Write counts.
func (c *countedConn) Write(b []byte) (int, error) {
	c.of.streams.Add(int64(len(b)))
	return c.Conn.Write(b)
}
