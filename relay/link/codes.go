package link

import (
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"
)

// code says why a connection or a stream was closed, or a hello refused: QUIC's application error codes.
type code uint32

const (
	codeShutdown   code = iota // the node stops, or the user closed the link
	codeIdle                   // nobody used the link for long
	codeSilent                 // nothing was heard
	codeNotMember              // the other side is no member, or not any more
	codeSuperseded             // a newer link took its place
	codeRace                   // both dialled; the other connection is the link
	codeProtocol               // something that no version says
	codeBacklog                // too many notices wait
	codeBusy                   // too many connections or calls
	codeCanceled               // the caller does not wait any more
)

var codeTexts = [...]string{
	"closed", "idle", "silent", "no member", "superseded", "dialled at once", "protocol violated", "notices not taken", "busy", "cancelled",
}

func (c code) String() string {
	if int(c) < len(codeTexts) {
		return codeTexts[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// ErrClosed says that a link, or the endpoint, is closed; it is wrapped with the reason.
var ErrClosed = errors.New("link closed")

// closedError is why a link ended.
type closedError struct {
	code   code
	remote bool
}

func (e *closedError) Error() string {
	if e.remote {
		return "link closed by the other side: " + e.code.String()
	}
	return "link closed: " + e.code.String()
}

func (e *closedError) Is(target error) bool { return target == ErrClosed }

// ended tells whether an error of a stream is that of its connection.
func ended(err error) bool {
	var app *quic.ApplicationError
	var idle *quic.IdleTimeoutError
	var transport *quic.TransportError
	return errors.As(err, &app) || errors.As(err, &idle) || errors.As(err, &transport)
}

// reason finds out why a QUIC connection ended.
func reason(err error) *closedError {
	if app := (*quic.ApplicationError)(nil); errors.As(err, &app) {
		return &closedError{code(min(app.ErrorCode, 1<<32-1)), app.Remote}
	}
	return &closedError{codeSilent, false}
}
