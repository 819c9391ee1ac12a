package link

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/quic-go/quic-go"
)

// receiveBatch is how many datagrams are taken before what they brought is handed on. quic-go's queue holds 128 and drops what is more
// without a word, so taking must never be far behind.
const receiveBatch = 96

// present is a context that is over as soon as somebody begins to wait: a look for what is there already.
type present struct {
	context.Context
	waited bool
}

var (
	over      = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
	errNoMore = errors.New("nothing is there")
)

func (p *present) Done() <-chan struct{} {
	p.waited = true
	return over
}

func (p *present) Err() error {
	if p.waited {
		return errNoMore
	}
	return nil
}

// Value hides what is below, so that nobody waits by another way than Done.
func (p *present) Value(any) any { return nil }

// receive takes the datagrams of one connection of the link: one waits, others that are there are taken with it, and then all streams that
// got something are flushed.
func (l *Link) receive(ctx context.Context, conn *quic.Conn) {
	look := &present{Context: context.Background()}
	for {
		b, err := conn.ReceiveDatagram(ctx)
		if err != nil {
			return // the link ends, or the connection, which serve sees
		}
		l.flows.mu.Lock()
		now := l.e.cfg.Clock.Now()
		for n := 0; ; {
			l.datagram(b, now)
			if n++; n == receiveBatch {
				break
			}
			look.waited = false
			if b, err = conn.ReceiveDatagram(look); err != nil {
				break
			}
		}
		l.flush(now)
		l.flows.mu.Unlock()
	}
}

// datagram takes one datagram. A fault in what handles it costs that datagram.
func (l *Link) datagram(b []byte, now int64) {
	defer l.survive()
	c := &l.counters
	flow, layer, rest, ok := parseFlow(b)
	if !ok {
		c.malformed.Add(1)
		return
	}
	if flow == 0 && layer == wirePadding {
		return
	}
	if flow == 0 && layer == wirePart {
		if b = l.flows.halves.join(rest); b == nil {
			return
		}
		if flow, layer, rest, ok = parseFlow(b); !ok || flow == 0 && layer != wireRaw {
			c.malformed.Add(1)
			return
		}
	}
	c.in.Add(1)
	c.bytesIn.Add(uint64(len(b)))
	if flow == 0 {
		if layer == wireRaw && l.e.datagrams != nil {
			l.use()
			l.e.datagrams(l, rest)
		}
		return
	}
	i := l.flows.of[flow]
	if i == nil {
		c.unknown.Add(1)
		return
	}
	l.flows.take(i, layer, rest, now)
}

func (l *Link) flush(now int64) {
	defer l.survive()
	l.flows.flush(now)
}

func (l *Link) survive() {
	if r := recover(); r != nil {
		l.counters.faults.Add(1)
		l.e.log.Error("datagram not handled", "peer", string(l.peer), "reason", r, "stack", string(debug.Stack()))
	}
}

// flush hands on what the streams got. The outbox is sent last, with everything in it, but for a stream that another link feeds as well: its
// packets must be on their way before that link's goroutine sends more of them.
func (f *flows) flush(now int64) {
	if len(f.touched) == 0 {
		return
	}
	touched := f.touched
	f.touched = f.touched[:0]
	for n, i := range touched {
		touched[n] = nil
		i.touched = false
		switch {
		case i.stream == nil:
		case i.feed.shared.Load():
			f.flushShared(i, now)
		default:
			i.stream.Flush(now, f.out)
		}
	}
	f.send()
}

func (f *flows) flushShared(i *Import, now int64) {
	i.feed.mu.Lock()
	defer i.feed.mu.Unlock()
	i.stream.Flush(now, f.out)
	f.send()
}

func (f *flows) send() {
	if f.out != nil {
		_ = f.out.Flush() // what the network does not take is lost
	}
}
