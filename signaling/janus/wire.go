package janus

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// message is any reply or event of the Janus API.
type message struct {
	Janus       string      `json:"janus"`
	Session     uint64      `json:"session_id,omitempty"`
	Transaction *string     `json:"transaction,omitempty"`
	Sender      uint64      `json:"sender,omitempty"`
	OpaqueID    string      `json:"opaque_id,omitempty"`
	Hint        string      `json:"hint,omitempty"`
	Error       *Error      `json:"error,omitempty"`
	Data        any         `json:"data,omitempty"`
	PluginData  *pluginData `json:"plugindata,omitempty"`
	JSEP        *wireJSEP   `json:"jsep,omitempty"`
	Reason      string      `json:"reason,omitempty"`
	media
}

// media are the fields of the media and slowlink events.
type media struct {
	Type      string  `json:"type,omitempty"`
	Media     string  `json:"media,omitempty"`
	Mid       string  `json:"mid,omitempty"`
	Substream *int8   `json:"substream,omitempty"`
	Receiving *bool   `json:"receiving,omitempty"`
	Seconds   float64 `json:"seconds,omitempty"`
	Uplink    *bool   `json:"uplink,omitempty"`
	Lost      *int    `json:"lost,omitempty"`
}

type pluginData struct {
	Plugin string `json:"plugin"`
	Data   any    `json:"data"`
}

type wireJSEP struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
	E2EE bool   `json:"e2ee,omitempty"`
}

// wire returns the session description as an event carries it.
func (j *JSEP) wire() *wireJSEP {
	if j == nil {
		return nil
	}
	return &wireJSEP{Type: j.Type, SDP: j.Text, E2EE: j.E2EE}
}

// encode returns the message as compact JSON.
func (m *message) encode() ([]byte, error) { return encode(m) }

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// optional makes an absent transaction of an empty one.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func fail(c Code, format string, args ...any) *message {
	return failure(errorf(c, format, args...))
}

func failure(e *Error) *message { return &message{Janus: "error", Error: e} }
