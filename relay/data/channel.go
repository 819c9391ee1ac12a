package data

import (
	"errors"
	"io"
	"sync"

	"github.com/pion/sctp"
)

// Channel is a data channel. What its methods return does not change once a handler has seen it.
type Channel struct {
	id     uint16
	stream *sctp.Stream
	remote bool // opened by the peer

	// Set once when opened from here; otherwise owned by the goroutine that reads the channel, until it is open.
	label, protocol string
	reliability     Reliability
	open            bool
}

// ID returns the stream identifier.
func (c *Channel) ID() uint16 { return c.id }

// Label returns the label.
func (c *Channel) Label() string { return c.label }

// Protocol returns the subprotocol.
func (c *Channel) Protocol() string { return c.protocol }

// Reliability returns how the channel delivers messages, in both directions.
func (c *Channel) Reliability() Reliability { return c.reliability }

// errOpen says that a channel was not opened as it must be.
var errOpen = errors.New("data: bad open message")

// pooled is the size of the buffers that are kept. Larger messages are rare, or refused.
const pooled = DefaultMaxMessage

var buffers = sync.Pool{New: func() any { return new([pooled]byte) }}

// read hands up the channel's messages until it ends.
func (a *Association) read(c *Channel) {
	for {
		// Asking without a buffer waits for a message and tells its size, so that waiting takes no buffer.
		n, ppid, err := c.stream.ReadSCTP(nil)
		switch {
		case errors.Is(err, io.ErrShortBuffer):
			err = a.readMessage(c, n)
		case err == nil:
			err = a.readEmpty(c, ppid)
		}
		if err != nil {
			a.closeChannel(c, err)
			return
		}
	}
}

// readMessage takes the message of n bytes that waits and handles it. Messages of different channels wait for each other
// here, before they take a buffer.
func (a *Association) readMessage(c *Channel, n int) error {
	a.handling.Lock()
	defer a.handling.Unlock()
	var b []byte
	if n <= pooled {
		p := buffers.Get().(*[pooled]byte)
		defer buffers.Put(p)
		b = p[:]
	} else {
		b = make([]byte, n) // at most the receive window
	}
	n, ppid, err := c.stream.ReadSCTP(b)
	if errors.Is(err, io.ErrShortBuffer) {
		return nil // the association was restarted and another message waits
	}
	if err != nil {
		return err
	}
	return a.receive(c, ppid, b[:n])
}

func (a *Association) readEmpty(c *Channel, ppid sctp.PayloadProtocolIdentifier) error {
	a.handling.Lock()
	defer a.handling.Unlock()
	return a.receive(c, ppid, nil)
}

// receive handles a message. An error ends the channel. The caller holds handling.
func (a *Association) receive(c *Channel, ppid sctp.PayloadProtocolIdentifier, m []byte) error {
	switch ppid {
	case sctp.PayloadTypeWebRTCDCEP:
		return a.control(c, m)
	case sctp.PayloadTypeWebRTCString, sctp.PayloadTypeWebRTCBinary:
	case sctp.PayloadTypeWebRTCStringEmpty, sctp.PayloadTypeWebRTCBinaryEmpty:
		m = nil // SCTP has no empty messages: one byte stands for none (RFC 8831 section 6.6)
	default:
		a.stats.ignored.Add(1)
		return nil
	}
	switch {
	case !c.open:
		a.stats.ignored.Add(1)
	case len(m) > a.cfg.MaxMessage:
		a.stats.refused.Add(1)
	default:
		a.stats.messagesReceived.Add(1)
		a.stats.bytesReceived.Add(uint64(len(m)))
		if a.cfg.OnMessage != nil && !a.isClosed() {
			text := ppid == sctp.PayloadTypeWebRTCString || ppid == sctp.PayloadTypeWebRTCStringEmpty
			a.cfg.OnMessage(c, m, text)
		}
	}
	return nil
}

// control handles a message of the establishment protocol. The caller holds handling.
func (a *Association) control(c *Channel, m []byte) error {
	if len(m) == 1 && m[0] == messageAck && !c.remote {
		// Until now everything had to be ordered, for it must not overtake the open message (RFC 8832 section 6).
		c.reliability.apply(c.stream)
		return nil
	}
	if c.open {
		a.stats.ignored.Add(1)
		return nil
	}
	var ok bool
	if c.reliability, c.label, c.protocol, ok = parseOpen(m); !ok {
		a.stats.refused.Add(1)
		return errOpen
	}
	c.open = true
	c.reliability.apply(c.stream)
	if _, err := c.stream.WriteSCTP([]byte{messageAck}, sctp.PayloadTypeWebRTCDCEP); err != nil {
		return err
	}
	a.mu.Lock()
	if a.labels[c.label] == nil {
		a.labels[c.label] = c
	}
	a.mu.Unlock()
	if a.cfg.OnOpen != nil && !a.isClosed() {
		a.cfg.OnOpen(c)
	}
	return nil
}

// closeChannel ends a channel that the peer closed, that was refused, or whose association is over.
func (a *Association) closeChannel(c *Channel, why error) {
	a.remove(c)
	_ = c.stream.Close() // resets our direction as well; fails when the association is over
	a.signalRoom()       // what it had buffered may be gone
	if c.open && !errors.Is(why, errOpen) {
		a.handle(func() {
			if a.cfg.OnClose != nil {
				a.cfg.OnClose(c)
			}
		})
	}
}
