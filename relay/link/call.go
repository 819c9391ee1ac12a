package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quic-go/quic-go"

	"cardea/relay/link/wire"
)

const (
	// MaxCall is the longest request and the longest reply, bytes.
	MaxCall = 4 << 20
	// DefaultCallTime is how long a call waits whose context has no deadline; longestCall is the most that is granted.
	DefaultCallTime = 10 * time.Second
	longestCall     = 2 * time.Minute

	// maxCalls is how many calls of one link are answered at a time, and maxCallMemory how many bytes their requests may hold. More wait.
	maxCalls      = 256
	maxCallMemory = 32 << 20
	// transferTime is how long a request may take to arrive, and a reply to leave.
	transferTime = 10 * time.Second
	maxHeader    = 4 << 10
	maxErrorText = 1 << 10
)

// Codes of a [RemoteError]. Handlers that return one of their own use codes from 16 on.
const (
	CodeFailed  uint32 = 1 // the handler returned an error
	CodeUnknown uint32 = 2 // there is no handler for the kind
	CodeTooLong uint32 = 3 // the request, or the reply, is longer than [MaxCall]
	CodeRefused uint32 = 4 // the request could not be read
)

// RemoteError is the error of a handler at the other end. A handler that returns one gives code and text to the caller.
type RemoteError struct {
	Code uint32
	Text string
}

func (e *RemoteError) Error() string { return e.Text }

// remoteError is err as the caller gets it.
func remoteError(err error) *RemoteError {
	if r := (*RemoteError)(nil); errors.As(err, &r) && r.Code != 0 {
		return r
	}
	return &RemoteError{Code: CodeFailed, Text: err.Error()}
}

// On the wire a request and a reply are the length of their header (2 bytes), the header, and the body.
type requestHeader struct {
	Kind     uint16        `pb:"1"`
	Wait     time.Duration `pb:"2"` // how long the caller waits
	Encoding uint8         `pb:"3"`
	Length   uint32        `pb:"4"` // of the body
	Size     uint32        `pb:"5"` // of the request
}

type replyHeader struct {
	Code     uint32 `pb:"1"` // of the error, 0 for none
	Text     string `pb:"2"`
	Encoding uint8  `pb:"3"`
	Length   uint32 `pb:"4"`
	Size     uint32 `pb:"5"`
}

var errCall = errors.New("call out of bounds")

func check(enc uint8, length, size uint32) error {
	if length > MaxCall || size > MaxCall || encoding(enc) == plain && length != size {
		return fmt.Errorf("%w: %d bytes as %d", errCall, size, length)
	}
	return nil
}

// appendMessage writes a header in front of a body.
func appendMessage(header any, body []byte) []byte {
	m := wire.Marshal(header)
	b := make([]byte, 2, 2+len(m)+len(body))
	binary.BigEndian.PutUint16(b, uint16(len(m))) //nolint:gosec // headers are short
	return append(append(b, m...), body...)
}

// readHeader reads the header in front of a body.
func readHeader(r io.Reader, header any) error {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > maxHeader {
		return fmt.Errorf("%w: header of %d bytes", errCall, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return unexpected(err)
	}
	return wire.Unmarshal(b, header)
}

// readBody reads a body and undoes its encoding.
func (c *compressor) readBody(r io.Reader, enc uint8, length, size uint32) ([]byte, error) {
	b := make([]byte, length)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, unexpected(err)
	}
	return c.unpack(b, encoding(enc), int(size))
}

// Call asks the other node and waits for its reply, until ctx ends, for [DefaultCallTime] if it has no deadline, and at most for two
// minutes. Requests and replies are at most [MaxCall] bytes. The error of the handler comes as [*RemoteError]; any other means that
// it is not known whether the call was carried out.
func (l *Link) Call(ctx context.Context, k Kind, request []byte) ([]byte, error) {
	reply, err := l.call(ctx, k, request)
	if err != nil {
		return nil, fmt.Errorf("call of kind %d to %s: %w", k, l.peer, err)
	}
	return reply, nil
}

func (l *Link) call(ctx context.Context, k Kind, request []byte) ([]byte, error) {
	if len(request) > MaxCall {
		return nil, ErrTooLong
	}
	if l.closed() {
		return nil, l.why
	}
	l.use()
	l.counters.callsOut.Add(1)
	limit := longestCall
	if _, ok := ctx.Deadline(); !ok {
		limit = DefaultCallTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, l.explain(ctx, err)
	}
	defer context.AfterFunc(ctx, func() {
		s.CancelRead(quic.StreamErrorCode(codeCanceled))
		s.CancelWrite(quic.StreamErrorCode(codeCanceled))
	})()
	deadline, _ := ctx.Deadline()
	body, enc := l.e.compressor.pack(request)
	h := requestHeader{
		Kind: uint16(k), Wait: time.Until(deadline), Encoding: uint8(enc), Length: uint32(len(body)), Size: uint32(len(request)), //nolint:gosec // bounded
	}
	if _, err := s.Write(appendMessage(&h, body)); err != nil {
		return nil, l.explain(ctx, err)
	}
	_ = s.Close()
	reply, err := l.readReply(s)
	s.CancelRead(quic.StreamErrorCode(codeCanceled)) // there is nothing left but for a fault of the other side
	if err != nil {
		return nil, l.explain(ctx, err)
	}
	l.use()
	return reply, nil
}

func (l *Link) readReply(s *quic.Stream) ([]byte, error) {
	var h replyHeader
	if err := readHeader(s, &h); err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if h.Code != 0 {
		return nil, &RemoteError{Code: h.Code, Text: h.Text}
	}
	if err := check(h.Encoding, h.Length, h.Size); err != nil {
		return nil, err
	}
	return l.e.compressor.readBody(s, h.Encoding, h.Length, h.Size)
}

// explain says why a stream failed: the caller gave up, or the link ended.
func (l *Link) explain(ctx context.Context, err error) error {
	if r := (*RemoteError)(nil); errors.As(err, &r) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if cause := context.Cause(l.conn.Context()); cause != nil {
		err = cause
	}
	if ended(err) {
		return reason(err)
	}
	if s := (*quic.StreamError)(nil); errors.As(err, &s) && code(s.ErrorCode) == codeCanceled {
		return context.DeadlineExceeded // the other side's clock was a little ahead
	}
	return err
}

// answerCalls takes the other side's calls. While too many are answered it waits, and QUIC's limit on streams makes the other side wait.
func (l *Link) answerCalls(ctx context.Context) {
	for {
		s, err := l.conn.AcceptStream(ctx)
		if err != nil {
			return // the link ends
		}
		select {
		case l.calls <- struct{}{}:
		case <-ctx.Done():
			return
		}
		l.e.tasks.Go(func() {
			defer func() { <-l.calls }()
			l.answer(ctx, s)
		})
	}
}

// answer answers one call.
func (l *Link) answer(ctx context.Context, s *quic.Stream) {
	defer s.CancelRead(quic.StreamErrorCode(codeCanceled))
	_ = s.SetReadDeadline(time.Now().Add(transferTime))
	l.use()
	l.counters.callsIn.Add(1)
	var h requestHeader
	err := readHeader(s, &h)
	if err == nil {
		err = check(h.Encoding, h.Length, h.Size)
	}
	if err != nil {
		l.reply(s, nil, &RemoteError{Code: CodeRefused, Text: err.Error()})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(max(h.Wait, 0), longestCall))
	defer cancel()
	// The caller that gives up stops our side of the stream.
	defer context.AfterFunc(s.Context(), cancel)()
	weight := int64(h.Length) + int64(h.Size)
	if l.memory.Acquire(ctx, weight) != nil {
		s.CancelWrite(quic.StreamErrorCode(codeBusy))
		return
	}
	defer l.memory.Release(weight)
	request, err := l.e.compressor.readBody(s, h.Encoding, h.Length, h.Size)
	if err != nil {
		l.reply(s, nil, &RemoteError{Code: CodeRefused, Text: err.Error()})
		return
	}
	reply, err := l.e.handle(ctx, l.peer, Kind(h.Kind), request)
	if ctx.Err() != nil {
		s.CancelWrite(quic.StreamErrorCode(codeCanceled))
		return
	}
	l.reply(s, reply, err)
}

// handle calls the handler of a kind.
func (e *Endpoint) handle(ctx context.Context, from NodeID, k Kind, request []byte) (reply []byte, err error) {
	h := e.handlers[k]
	if h == nil {
		return nil, &RemoteError{Code: CodeUnknown, Text: fmt.Sprintf("no calls of kind %d", k)}
	}
	if fault := e.guard("call", func() { reply, err = h(ctx, from, request) }); fault != nil {
		return nil, fault
	}
	if err == nil && len(reply) > MaxCall {
		err = &RemoteError{Code: CodeTooLong, Text: ErrTooLong.Error()}
	}
	return reply, err
}

func (l *Link) reply(s *quic.Stream, reply []byte, err error) {
	_ = s.SetWriteDeadline(time.Now().Add(transferTime))
	var h replyHeader
	var body []byte
	if err != nil {
		r := remoteError(err)
		h.Code, h.Text = r.Code, valid(r.Text)
	} else {
		var enc encoding
		body, enc = l.e.compressor.pack(reply)
		h.Encoding, h.Length, h.Size = uint8(enc), uint32(len(body)), uint32(len(reply)) //nolint:gosec // bounded
	}
	if _, err := s.Write(appendMessage(&h, body)); err != nil {
		s.CancelWrite(quic.StreamErrorCode(codeCanceled))
		return
	}
	_ = s.Close()
}

// valid is an error's text as it may go on the wire: UTF-8, and not too long.
func valid(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxErrorText)], "") }
