package videoroom

import (
	"errors"
	"fmt"
)

// code is an error code of the VideoRoom plugin.
type code int

// The error codes of the VideoRoom plugin. The core answers 421 (no message) and 422 (bad JSON) with errors of its own.
const (
	codeInvalidRequest   code = 423
	codeJoinFirst        code = 424
	codeAlreadyJoined    code = 425
	codeNoSuchRoom       code = 426
	codeRoomExists       code = 427
	codeNoSuchFeed       code = 428
	codeMissingElement   code = 429
	codeInvalidElement   code = 430
	codeInvalidSDPType   code = 431
	codePublishersFull   code = 432
	codeUnauthorized     code = 433
	codeAlreadyPublished code = 434
	codeNotPublished     code = 435
	codeIDExists         code = 436
	codeInvalidSDP       code = 437
	codeInvalidFeed      code = 438
	codeUnknown          code = 499
)

// requestError is why a request was refused: the code and the sentence the client gets.
type requestError struct {
	code code
	text string
}

// Error returns the sentence.
func (e *requestError) Error() string { return e.text }

// refuse makes the error of a refused request.
func refuse(c code, format string, args ...any) error {
	return &requestError{code: c, text: fmt.Sprintf(format, args...)}
}

// object is a JSON object of a reply or an event.
type object = map[string]any

// refusal is the reply that carries an error.
func refusal(err error) object {
	e := &requestError{code: codeUnknown, text: "Internal error"}
	errors.As(err, &e)
	return object{"videoroom": "event", "error_code": int(e.code), "error": e.text}
}
