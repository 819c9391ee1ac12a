package data

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxPacket is the largest DTLS record payload that a peer may send us: SCTP packets are as large as the path allows.
const maxPacket = 8192

// past is a deadline that wakes whoever is blocked.
var past = time.Unix(1, 0)

// carrier is the DTLS connection as SCTP gets it: closing it lets go of the connection instead of closing it, since the
// media's keys hang on it and a close would hang up the call. Writes are taken not to block for long.
type carrier struct {
	net.Conn
	closed  atomic.Bool
	reading sync.Mutex // held by whoever reads
}

// Read reads one packet unless the carrier is closed.
func (c *carrier) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.Conn.Read(b)
}

// Write writes one packet unless the carrier is closed.
func (c *carrier) Write(b []byte) (int, error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// SetWriteDeadline does nothing: SCTP's, set as it ends, would outlive it and stop the connection's closing alert.
func (c *carrier) SetWriteDeadline(time.Time) error { return nil }

// Close makes reads end and everything fail from now on.
func (c *carrier) Close() error {
	c.closed.Store(true)
	return c.Conn.SetReadDeadline(past)
}

// drain reads and drops what still comes after SCTP ended and the carrier was closed, so that the DTLS connection does
// not choke on it and keeps seeing alerts. It returns when the connection ends, or after wake once done is closed.
func (c *carrier) drain(done <-chan struct{}) {
	c.reading.Lock() // SCTP's reader is gone for good once this is held, for the carrier is closed
	defer c.reading.Unlock()
	b := make([]byte, maxPacket)
	for {
		// SCTP may set deadlines of its own as it ends, so this is done again after each that passes.
		if err := c.Conn.SetReadDeadline(time.Time{}); err != nil {
			return
		}
		select {
		case <-done:
			return
		default:
		}
		var timeout net.Error
		if _, err := c.Conn.Read(b); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
			return
		}
	}
}

// wake makes drain look at its done channel.
func (c *carrier) wake() {
	_ = c.Conn.SetReadDeadline(past) // fails only on a connection that is closed, which ends drain too
}
