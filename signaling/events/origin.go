package events

import (
	"bytes"
	"encoding/json"
)

// Origin says what an event is about, as far as that is known. Its zero value says nothing.
type Origin struct {
	Session, Handle uint64 // 0 for none
	OpaqueID        string // of the handle
	Room            string // key of the room, "videoroom/1234"
	Community       string // that the room belongs to
}

// EmitBody emits an event of a type and subtype (0 for none) whose body is a value that is an object as JSON, if anybody takes its
// type. Where making the value costs something, ask [Bus.Wants] first.
func (b *Bus) EmitBody(t Type, subtype int, o Origin, body any) {
	if !b.Wants(t) {
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		b.unencodable.Add(1)
		return
	}
	b.Emit(Event{
		Type: t, Subtype: subtype, Session: o.Session, Handle: o.Handle, OpaqueID: o.OpaqueID, Room: o.Room, Community: o.Community,
		Body: bytes.TrimSuffix(text.Bytes(), []byte("\n")),
	})
}

// EmitPlugin emits what a plugin says, if anybody takes plugins' events: data is an object as JSON.
func (b *Bus) EmitPlugin(o Origin, plugin string, data any) {
	b.EmitBody(Plugin, 0, o, struct {
		Plugin string `json:"plugin"`
		Data   any    `json:"data"`
	}{plugin, data})
}

// EmitTransport emits what a transport says of one of its connections or requests, if anybody takes transports' events.
func (b *Bus) EmitTransport(transport, id string, data any) {
	b.EmitBody(Transport, 0, Origin{}, struct {
		Transport string `json:"transport"`
		ID        string `json:"id"`
		Data      any    `json:"data"`
	}{transport, id, data})
}

// EmitUser emits a user event, if anybody takes user events. Its community is that of the origin.
func (b *Bus) EmitUser(o Origin, e UserEvent) {
	e.Community = o.Community
	b.EmitBody(User, 0, o, e)
}
