package udp

import (
	"errors"
	"net/netip"
)

// Outbox gathers the outgoing packets of one goroutine for all sockets of a node: a client may be reached through another
// socket than the one its publisher's packets came in by. Not safe for concurrent use.
type Outbox struct {
	batches []*Batch
	last    *Batch
}

// NewOutbox returns an outbox for the sockets, which [Outbox.Reserve] counts from 0.
func NewOutbox(sockets []*Socket) *Outbox {
	o := &Outbox{batches: make([]*Batch, len(sockets))}
	for i, s := range sockets {
		o.batches[i] = s.NewBatch()
	}
	return o
}

// Reserve is [Batch.Reserve] for the given socket.
func (o *Outbox) Reserve(socket int, to netip.AddrPort, n int) []byte {
	o.last = o.batches[socket]
	return o.last.Reserve(to, n)
}

// Commit is [Batch.Commit] for the socket of the last Reserve.
func (o *Outbox) Commit(n int) { o.last.Commit(n) }

// Flush sends what all sockets hold.
func (o *Outbox) Flush() error {
	var errs []error
	for _, b := range o.batches {
		if messages, _ := b.Len(); messages > 0 {
			if err := b.Flush(); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
