package janus

import (
	"errors"
	"fmt"
)

// Code is an error code of the Janus API.
type Code int

// The error codes of the Janus API.
const (
	CodeUnauthorized     Code = 403 // wrong or missing secret or token
	CodeForbiddenPlugin  Code = 405 // the token does not allow the plugin
	CodeTransport        Code = 450 // specific to the transport
	CodeMissingRequest   Code = 452
	CodeUnknownRequest   Code = 453
	CodeInvalidJSON      Code = 454
	CodeNotObject        Code = 455
	CodeMissingElement   Code = 456
	CodeInvalidPath      Code = 457 // the request does not belong at this level
	CodeNoSession        Code = 458
	CodeNoHandle         Code = 459
	CodeNoPlugin         Code = 460
	CodePluginAttach     Code = 461
	CodePluginMessage    Code = 462
	CodePluginDetach     Code = 463
	CodeUnknownJSEP      Code = 464
	CodeInvalidSDP       Code = 465
	CodeTrickle          Code = 466
	CodeInvalidElement   Code = 467
	CodeSessionConflict  Code = 468
	CodeUnexpectedAnswer Code = 469
	CodeNoToken          Code = 470
	CodeWebRTCState      Code = 471
	CodeNotAccepting     Code = 472
	CodeUnknown          Code = 490
)

// Error is the "error" of a reply of the Janus API.
type Error struct {
	Code   Code   `json:"code"`
	Reason string `json:"reason"`
}

// Error returns the sentence, as the client sees it.
func (e *Error) Error() string { return e.Reason }

func errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Reason: fmt.Sprintf(format, args...)}
}

// elementError gives what [Object.Check] returned its code.
func elementError(err error) *Error {
	if errors.Is(err, ErrMissing) {
		return &Error{Code: CodeMissingElement, Reason: err.Error()}
	}
	return &Error{Code: CodeInvalidElement, Reason: err.Error()}
}

// errHandle says that the handle went away meanwhile.
var errHandle = errors.New("handle is gone")
