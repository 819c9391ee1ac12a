package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"cardea/relay/shield/queue"
)

const (
	// MaxDatagram is the longest payload of [Link.SendDatagram], bytes: what fits from the first moment on.
	MaxDatagram = 1200

	pacePeriod  = 5 * time.Millisecond
	paddingSize = 1200
)

// SendDatagram queues a raw datagram for the other side's HandleDatagram: unreliable, in no order, dropped rather than late. payload is
// the caller's again when it returns.
func (l *Link) SendDatagram(class queue.Class, payload []byte) error {
	if l.closed() {
		return l.why
	}
	if len(payload) > MaxDatagram {
		return fmt.Errorf("datagram of %d bytes: %w", len(payload), ErrTooLong)
	}
	var room [rawLen + MaxDatagram]byte
	b := append(quicvarint.Append(room[:0], wireRaw), payload...)
	l.push(b, min(class, queue.Enhancement))
	l.use()
	return nil
}

// push queues a datagram.
func (l *Link) push(b []byte, c queue.Class) {
	l.counters.out.Add(1)
	l.counters.bytesOut.Add(uint64(len(b)))
	l.queue.Push(b, c)
}

// send gives what waits to QUIC, as fast as the path bears.
func (l *Link) send(ctx context.Context) {
	number := uint16(0)
	room := make([]byte, queue.MaxPacket+2*partHeader)
	err := l.queue.Run(ctx, func(b []byte) error {
		out := l.out.Load()
		err := out.SendDatagram(b)
		if tooLarge := (*quic.DatagramTooLargeError)(nil); errors.As(err, &tooLarge) {
			l.counters.cut.Add(1)
			number++
			first, second := cut(room, b, number)
			if err = out.SendDatagram(first); err == nil {
				err = out.SendDatagram(second)
			}
		}
		if err != nil && l.carriers.lost(l) {
			return nil
		}
		return err
	}, func() int { return l.port.shield.Budget(l.remote()) })
	if err != nil && ctx.Err() == nil {
		l.lost(err)
	}
}

// pace sends what is to leave over time: what caches keep for new exports, and padding.
func (l *Link) pace(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var lagging []*Export
	padding := make([]byte, paddingSize)
	padding[0] = wirePadding
	owed := 0.0
	last := time.Now()
	for {
		clear(lagging)
		lagging = l.exports.behind(lagging[:0])
		l.catchUp(lagging)
		now := time.Now()
		rate := float64(l.warmth.rate.Load())
		owed = min(owed+rate*now.Sub(last).Seconds(), rate*(4*pacePeriod).Seconds())
		last = now
		for ; owed >= paddingSize; owed -= paddingSize {
			l.counters.paddings.Add(1)
			l.queue.Push(padding, queue.Padding)
		}
		wait := time.Hour
		if len(lagging) > 0 || rate > 0 {
			wait = pacePeriod
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.exports.wake:
		}
	}
}

// catchUp gives each export that lags its share of what may wait now.
func (l *Link) catchUp(lagging []*Export) {
	if len(lagging) == 0 {
		return
	}
	budget := float64(l.port.shield.Budget(l.remote())) / 8
	room := max(int(budget*catchupTime.Seconds()/catchupSize), 2) - l.queue.Waiting(queue.Base) - l.queue.Waiting(queue.Enhancement)
	share := max(room/len(lagging), 1)
	clock := l.e.cfg.Clock.Now()
	for _, x := range lagging {
		if room <= 0 {
			return
		}
		sent, more := x.catchUp(min(share, room), clock)
		room -= sent
		if !more {
			l.exports.caughtUp(x)
		}
	}
}
