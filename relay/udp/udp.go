package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// MaxDatagram is the largest payload of a UDP datagram over IPv4: 65,535 less the IP and UDP headers.
const MaxDatagram = 65507

// MaxSendWait bounds how long one [Batch.Flush] waits in sum for a full send buffer before it drops the rest.
const MaxSendWait = 4 * time.Millisecond

// errFamily says that an IPv4 socket was asked to send to an IPv6 address or the other way round.
var errFamily = errors.New("address is of the other IP version than the socket")

// Config says what [Listen] opens.
type Config struct {
	// Address is the local address. An IPv6 socket takes IPv6 only. Port 0 takes a free port, the same for the whole group.
	Address netip.AddrPort
	// Sockets is the size of the SO_REUSEPORT group: the kernel spreads senders over the sockets by a hash of their
	// address. 0 means 1. One socket a core is plenty; each holds some 2 MiB of address space for reading.
	Sockets int
	// ReadBuffer and WriteBuffer are the bytes of kernel buffer asked for, per socket; 0 leaves the system's default.
	// A process with CAP_NET_ADMIN gets what it asks for, others at most net.core.rmem_max and wmem_max. Too small a
	// read buffer loses packets when the loop is late, a large one lets a flood delay what comes behind it.
	ReadBuffer, WriteBuffer int
	// Light is for sockets that are many and mostly idle: memory to read into is borrowed from a common pool while there is
	// something to read, and fewer messages are read at once.
	Light bool
	// Fragment lets the network cut packets that are too large for it, which others do to us anyway. Without it they are
	// refused or lost, as DTLS and QUIC want it.
	Fragment bool
}

func (c Config) validate() error {
	var errs []error
	if !c.Address.Addr().IsValid() {
		errs = append(errs, errors.New("no address"))
	}
	if c.Sockets < 0 || c.Sockets > maxSockets {
		errs = append(errs, fmt.Errorf("%d sockets, not 1 to %d", c.Sockets, maxSockets))
	}
	if c.ReadBuffer < 0 || c.WriteBuffer < 0 {
		errs = append(errs, errors.New("negative buffer size"))
	}
	return errors.Join(errs...)
}

// maxSockets bounds a SO_REUSEPORT group.
const maxSockets = 256

// Datagram is one received datagram, never empty.
type Datagram struct {
	// Data is valid until the next ReadBatch of the socket it came from, and may be written to.
	Data []byte
	// From is the sender; an IPv4 address is a plain one (netip.Addr.Is4), never IPv4-mapped IPv6.
	From netip.AddrPort
}

// Stats counts what a socket did since it was opened.
type Stats struct {
	DatagramsIn, BytesIn   uint64 // received, payload bytes
	DatagramsOut, BytesOut uint64 // handed to the kernel, payload bytes
	MessagesIn             uint64 // what recvmmsg counted: less than DatagramsIn where GRO joined datagrams
	MessagesOut            uint64 // what sendmmsg counted: less than DatagramsOut where GSO joined them
	ReceiveDrops           uint64 // dropped by the kernel, the read buffer being full (Linux)
	SendDrops              uint64 // datagrams dropped, the write buffer being full
	SendErrors             uint64 // datagrams the kernel refused: no route, forbidden, too large, wrong family
	GSORefused             uint64 // times that joined datagrams were refused and GSO was switched off, at most a few
	GSO, GRO               bool   // in use now
}

// counters is the atomic form of [Stats]; everything is added once a batch, not once a packet.
type counters struct {
	datagramsIn, bytesIn, messagesIn    atomic.Uint64
	datagramsOut, bytesOut, messagesOut atomic.Uint64
	sendDrops, sendErrors, gsoRefused   atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		DatagramsIn: c.datagramsIn.Load(), BytesIn: c.bytesIn.Load(), MessagesIn: c.messagesIn.Load(),
		DatagramsOut: c.datagramsOut.Load(), BytesOut: c.bytesOut.Load(), MessagesOut: c.messagesOut.Load(),
		SendDrops: c.sendDrops.Load(), SendErrors: c.sendErrors.Load(), GSORefused: c.gsoRefused.Load(),
	}
}
