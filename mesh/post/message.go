package post

import (
	"errors"
	"fmt"
	"math"

	"cardea/relay/data"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
)

// What nodes say over an association: control messages on a stream of their own, and the publishers' messages.

const (
	// MaxMessage is the largest message that is carried, in bytes: the largest that a client may send.
	MaxMessage = data.DefaultMaxMessage
	// maxFrame is what the largest message takes with its names and numbers. A control message takes less.
	maxFrame = MaxMessage + 2*data.MaxName + 256

	// maxID bounds each part of a stream's name, in bytes.
	maxID = 1 << 10
	// maxSubscribes and maxAcks bound one control message; there may be several.
	maxSubscribes = 12
	maxNumbers    = 1000
	maxAcks       = 32
)

// control is a message on the control stream. What is absent is not said.
type control struct {
	Hello       *hello      `pb:"1"`
	Subscribe   []subscribe `pb:"2"`
	Unsubscribe []uint64    `pb:"3"` // subscriptions' numbers
	Refused     []uint64    `pb:"4"` // subscriptions that the publisher's node does not have (any more)
	Acks        []ack       `pb:"5"`
}

// join adds to c what d says after it, if that fits into one message.
func (c *control) join(d *control) bool {
	if d.Hello != nil || len(c.Subscribe)+len(d.Subscribe) > maxSubscribes || len(c.Acks)+len(d.Acks) > maxAcks ||
		len(c.Unsubscribe)+len(d.Unsubscribe) > maxNumbers || len(c.Refused)+len(d.Refused) > maxNumbers {
		return false
	}
	c.Subscribe = append(c.Subscribe, d.Subscribe...)
	c.Unsubscribe = append(c.Unsubscribe, d.Unsubscribe...)
	c.Refused = append(c.Refused, d.Refused...)
	c.Acks = append(c.Acks, d.Acks...)
	return true
}

// hello is said first.
type hello struct {
	Epoch uint64 `pb:"1"` // of the process: made up when it starts
}

// subscribe asks for the messages of a published line, from now on or from where the state ends.
type subscribe struct {
	Number    uint64 `pb:"1"` // made up by the listener's node, never used twice in its process
	Room      string `pb:"2"`
	Publisher string `pb:"3"`
	Mid       string `pb:"4"`
	State     tally  `pb:"5"`
}

func (s subscribe) stream() plane.StreamID {
	return plane.StreamID{Room: s.Room, Publisher: s.Publisher, Mid: s.Mid}
}

// ack says what came of a subscription.
type ack struct {
	Subscription uint64 `pb:"1"`
	State        tally  `pb:"2"`
}

// frame is one message of a publisher.
type frame struct {
	Subscription uint64       `pb:"1"`
	Incarnation  uint64       `pb:"2"` // of the numbers: they begin anew with each
	Number       uint64       `pb:"3"` // from 1, apart for ordered and unordered messages; 0 of one that is not reliable
	Floor        uint64       `pb:"4"` // unordered: lower numbers do not come (again)
	Text         bool         `pb:"5"`
	Unordered    bool         `pb:"6"`
	Partial      data.Partial `pb:"7"`
	Limit        uint32       `pb:"8"`
	Label        []byte       `pb:"9"` // need not be UTF-8
	Protocol     []byte       `pb:"10"`
	Data         []byte       `pb:"11"`
	Said         uint64       `pb:"12"` // with Lifetime: when, in ms by a clock of the sender's
}

var errMalformed = errors.New("post: malformed message")

// parseControl reads a control message.
func parseControl(b []byte) (c control, err error) {
	if err := wire.Unmarshal(b, &c); err != nil {
		return control{}, fmt.Errorf("post: control message: %w", err)
	}
	if len(c.Subscribe) > maxSubscribes || len(c.Acks) > maxAcks || len(c.Unsubscribe) > maxNumbers || len(c.Refused) > maxNumbers {
		return control{}, errMalformed
	}
	for i := range c.Subscribe {
		s := &c.Subscribe[i]
		if max(len(s.Room), len(s.Publisher), len(s.Mid)) > maxID || !s.State.valid() {
			return control{}, errMalformed
		}
	}
	for i := range c.Acks {
		if !c.Acks[i].State.valid() {
			return control{}, errMalformed
		}
	}
	return c, nil
}

// parseFrame reads a publisher's message.
func parseFrame(b []byte) (f frame, err error) {
	if err := wire.Unmarshal(b, &f); err != nil {
		return frame{}, fmt.Errorf("post: message: %w", err)
	}
	reliable := f.Partial == data.Reliable
	switch {
	case f.Partial > data.Lifetime, reliable != (f.Number > 0), reliable && f.Limit != 0, f.Number == math.MaxUint64,
		f.Floor > f.Number, len(f.Data) > MaxMessage, max(len(f.Label), len(f.Protocol)) > data.MaxName:
		return frame{}, errMalformed
	}
	return f, nil
}

func (f *frame) reliability() data.Reliability {
	return data.Reliability{Unordered: f.Unordered, Partial: f.Partial, Limit: f.Limit}
}

// message is what the publisher said.
func (f *frame) message() data.Message {
	return data.Message{
		Label: string(f.Label), Protocol: string(f.Protocol), Reliability: f.reliability(), Text: f.Text, Data: f.Data,
	}
}
