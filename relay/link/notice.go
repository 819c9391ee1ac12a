package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

const (
	// MaxNotice is the longest payload of a notice, bytes.
	MaxNotice = 256 << 10
	// maxBacklog is how many bytes of notices may wait for the other side to take them before the link is closed.
	maxBacklog = 8 << 20
	// noticeTime is how long the other side may take nothing, while notices wait.
	noticeTime = 30 * time.Second

	// kindInUse says that somebody retains the link. It has no payload.
	kindInUse Kind = 1
)

// ErrTooLong says that a message is longer than may be sent.
var ErrTooLong = errors.New("message too long")

// notices are those that wait to be written.
//
// On the wire a notice is its kind and the length of the rest (varints of RFC 9000), then its encoding (1), its size if it is compressed
// (varint), and its bytes.
type notices struct {
	mu      sync.Mutex
	pending []byte
	writing int // bytes that are being written
	wake    chan struct{}
}

// Notify sends a notice. It never waits: what the other side has not taken waits in a backlog, and more than 8 MiB of that closes the
// link. Notices arrive in the order of the calls, or the link goes down.
func (l *Link) Notify(k Kind, payload []byte) error {
	if l.closed() {
		return l.why
	}
	if len(payload) > MaxNotice {
		return fmt.Errorf("notice of kind %d, %d bytes: %w", k, len(payload), ErrTooLong)
	}
	b, enc := l.e.compressor.pack(payload)
	n := &l.notices
	n.mu.Lock()
	n.pending = appendNotice(n.pending, k, b, enc, len(payload))
	backlog := len(n.pending) + n.writing
	n.mu.Unlock()
	if backlog > maxBacklog {
		l.close(codeBacklog)
		return &closedError{code: codeBacklog}
	}
	l.counters.noticesOut.Add(1)
	if !slices.Contains(l.e.cfg.Background, k) {
		l.use()
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
	return nil
}

func appendNotice(dst []byte, k Kind, b []byte, enc encoding, size int) []byte {
	rest := 1 + len(b)
	if enc != plain {
		rest += quicvarint.Len(uint64(size)) //nolint:gosec // not negative
	}
	dst = quicvarint.Append(dst, uint64(k))
	dst = quicvarint.Append(dst, uint64(rest)) //nolint:gosec // not negative
	dst = append(dst, byte(enc))
	if enc != plain {
		dst = quicvarint.Append(dst, uint64(size)) //nolint:gosec // not negative
	}
	return append(dst, b...)
}

// writeNotices writes what waits, all that there is at a time.
func (l *Link) writeNotices(ctx context.Context) {
	n := &l.notices
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		n.mu.Lock()
		b := n.pending
		n.pending, n.writing = spare[:0], len(b)
		n.mu.Unlock()
		_ = l.control.SetWriteDeadline(time.Now().Add(noticeTime))
		if _, err := l.control.Write(b); err != nil {
			l.close(codeBacklog) // unless it was closed already
			return
		}
		n.mu.Lock()
		n.writing = 0
		n.mu.Unlock()
		spare = b
		if cap(spare) > 64<<10 {
			spare = nil
		}
	}
}

// readNotices hands the other side's notices to their handlers.
func (l *Link) readNotices(ctx context.Context) {
	r := bufio.NewReaderSize(l.control, 16<<10)
	for ctx.Err() == nil {
		k, payload, err := readNotice(r, l.e.compressor)
		if err != nil {
			l.lost(err)
			return
		}
		l.counters.noticesIn.Add(1)
		if !slices.Contains(l.e.cfg.Background, k) {
			l.use()
		}
		if h := l.e.notices[k]; h != nil { // a newer version may send kinds that we do not know
			_ = l.e.guard("notice", func() { h(l, payload) })
		}
	}
}

// lost ends the link after an error of its control stream, as the connection says if that has ended.
func (l *Link) lost(err error) {
	if cause := context.Cause(l.conn.Context()); cause != nil {
		err = cause
	}
	if ended(err) {
		l.end(reason(err))
		return
	}
	l.e.log.Debug("control stream failed", "peer", string(l.peer), "error", err)
	l.close(codeProtocol)
}

var errNotice = errors.New("notice out of bounds")

func readNotice(r *bufio.Reader, c *compressor) (Kind, []byte, error) {
	k, err := quicvarint.Read(r)
	if err != nil {
		return 0, nil, err
	}
	rest, err := quicvarint.Read(r)
	if err != nil {
		return 0, nil, unexpected(err)
	}
	if k > 1<<16-1 || rest < 1 || rest > MaxNotice+8 {
		return 0, nil, fmt.Errorf("%w: kind %d, %d bytes", errNotice, k, rest)
	}
	b := make([]byte, rest)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, unexpected(err)
	}
	enc, b := encoding(b[0]), b[1:]
	size := uint64(len(b))
	if enc != plain {
		var n int
		if size, n, err = quicvarint.Parse(b); err != nil || size > MaxNotice {
			return 0, nil, fmt.Errorf("%w: compressed to %d bytes", errNotice, rest)
		}
		b = b[n:]
	}
	payload, err := c.unpack(b, enc, int(size)) //nolint:gosec // bounded above
	return Kind(k), payload, err
}

// unexpected is err for what ends in the middle.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
