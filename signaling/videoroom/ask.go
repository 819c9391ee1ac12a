package videoroom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"cardea/signaling/janus"
)

// order is a request about one participant. The participant's own node carries it out, whichever node the client talks to.
type order struct {
	// find returns the participant, or why there is none that the order could be for.
	find func(r *room, id ID) (*participant, error)
	// do carries the order out on the participant's node, with the room's mutex held; after, if not nil, is called
	// without it.
	do func(p *Plugin, t *participant, body janus.Object) (reply object, after func(ctx context.Context), err error)
}

// Orders that no client gives: nodes do, to each other.
const (
	orderMakeWay = "make_way"        // to one who left: end the PeerConnection, somebody has the id now
	orderForward = "note_forwarders" // remember forwarders that another node runs
)

var orders = map[string]order{
	"kick": {(*room).participant, func(_ *Plugin, t *participant, _ janus.Object) (object, func(context.Context), error) {
		t.expel()
		return object{"videoroom": "success"}, nil, nil
	}},
	"moderate": {(*room).participant, func(_ *Plugin, t *participant, body janus.Object) (object, func(context.Context), error) {
		return object{"videoroom": "success"}, nil, t.moderate(body)
	}},
	"stop_rtp_forward":   {(*room).forwarded, (*Plugin).doStopForward},
	"publish_remotely":   {(*room).forwarded, (*Plugin).doPublishRemotely},
	"unpublish_remotely": {(*room).publisher, (*Plugin).doUnpublishRemotely},
	"listremotes":        {(*room).publisher, (*Plugin).doListRemotes},
	orderForward:         {(*room).forwarded, (*Plugin).doNoteForwarders},
	orderMakeWay: {(*room).gaveUp, func(_ *Plugin, t *participant, _ janus.Object) (object, func(context.Context), error) {
		r := t.room
		r.makeWay(t.id)
		t.withdraw()
		return nil, nil, nil
	}},
}

// forwarded finds somebody whose streams can be forwarded.
func (r *room) forwarded(id ID) (*participant, error) {
	if p := r.byID[id]; p != nil {
		return p, nil
	}
	return nil, refuse(codeNoSuchFeed, "No such feed (%s)", id)
}

// publisher finds somebody who can be sent to another server.
func (r *room) publisher(id ID) (*participant, error) {
	if p := r.byID[id]; p != nil {
		return p, nil
	}
	return nil, refuse(codeNoSuchFeed, "No such publisher (%s)", id)
}

// gaveUp finds somebody who left but still sends.
func (r *room) gaveUp(id ID) (*participant, error) {
	if p := r.departed[id]; p != nil {
		return p, nil
	}
	return nil, refuse(codeNoSuchFeed, "No such participant (%s)", id)
}

// direct has an order carried out on a participant of the request's room, if the request shows the room's secret.
func (p *Plugin) direct(ctx context.Context, name string, id ID, body janus.Object) (reply object, err error) {
	return p.order(ctx, name, id, body, func(f func(r *room) (object, error)) (object, error) { return p.manage(ctx, body, f) })
}

// order has an order carried out on a participant of the room that in calls a function with, locked, unless in refuses.
func (p *Plugin) order(
	ctx context.Context, name string, id ID, body janus.Object, in func(f func(r *room) (object, error)) (object, error),
) (reply object, err error) {
	o := orders[name]
	var after func(context.Context)
	var far *participant
	_, err = in(func(r *room) (object, error) {
		t, err := o.find(r, id)
		switch {
		case err != nil:
			return nil, err
		case t.remote:
			far = t
			r.held.users++
			return nil, nil
		}
		reply, after, err = o.do(p, t, body)
		t.report()
		return nil, err
	})
	switch {
	case err != nil:
		return nil, err
	case far != nil:
		defer far.room.unkeep()
		return far.ask(ctx, name, body)
	case after != nil:
		after(ctx)
	}
	return reply, nil
}

// question is what a node asks another.
type question struct {
	Order string       `json:"order"`
	Body  janus.Object `json:"body,omitempty"` // of the client's request, without secrets
}

// answer is what it is answered: an error of the Janus API, or a reply. With either, what is new of the participant.
type answer struct {
	Code  code            `json:"code,omitempty"`
	Error string          `json:"error,omitempty"`
	Reply janus.Object    `json:"reply,omitempty"`
	Entry json.RawMessage `json:"entry,omitempty"`
}

// credentials are the fields of requests that show what a client may do. They were checked here; the other node is not told.
var credentials = []string{"secret", "admin_key", "pin", "token"}

// ask has the participant's own node carry out an order. What comes of it is known here before the reply is.
func (p *participant) ask(ctx context.Context, name string, body janus.Object) (object, error) {
	r := p.room
	body = maps.Clone(body)
	for _, k := range credentials {
		delete(body, k)
	}
	request, err := json.Marshal(question{name, body})
	if err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, meshTime)
	defer cancel()
	b, err := r.held.mesh.Ask(ctx, p.id.String(), request)
	switch {
	case errors.Is(err, ErrMeshGone) && !p.isAwaited():
		return nil, refuse(codeNoSuchFeed, "No such user %s in room %s", p.id, r.id)
	case err != nil:
		r.held.plugin.log.Info("participant's node not reached", "room", r.id.String(), "participant", p.id.String(), "error", err)
		return nil, refuse(codeUnknown, "User %s can't be reached at the moment", p.id)
	}
	var a answer
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&a); err != nil {
		return nil, fmt.Errorf("decode answer to %s: %w", name, err)
	}
	if len(a.Entry) > 0 {
		if e, err := readEntry(a.Entry); err == nil {
			r.hear(ctx, p, e)
		}
	}
	if a.Code != 0 {
		return nil, &requestError{code: a.Code, text: a.Error}
	}
	return object(a.Reply), nil
}

// hear takes over what an answer says of a participant of another node. The mesh will tell it, too.
func (r *room) hear(ctx context.Context, p *participant, e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mirror(p.id) == p && p.shared.joined == e.Joined && !r.destroyed {
		r.update(ctx, p, e)
	}
}

// asked answers another node's question. Whether who asked may have it done was checked there, against the same record.
func (b *inbox) asked(ctx context.Context, participant string, request []byte) ([]byte, error) {
	r := b.room
	var q question
	d := json.NewDecoder(bytes.NewReader(request))
	d.UseNumber()
	if err := d.Decode(&q); err != nil {
		return nil, fmt.Errorf("decode question: %w", err)
	}
	id, ok := r.held.plugin.ids.read(participant)
	if !ok {
		return nil, fmt.Errorf("participant %q has no valid id", participant)
	}
	a, after := r.obey(id, q)
	if after != nil {
		after(ctx)
	}
	return json.Marshal(a)
}

// obey carries out another node's order.
func (r *room) obey(id ID, q question) (a answer, after func(context.Context)) {
	o, ok := orders[strings.ToLower(q.Order)]
	if !ok {
		return answer{Code: codeUnknown, Error: "The user's server can't do that"}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.destroyed {
		return failed(noSuchRoom(r.id)), nil
	}
	t, err := o.find(r, id)
	if err == nil && t.remote {
		err = refuse(codeNoSuchFeed, "No such user %s in room %s", id, r.id)
	}
	if err != nil {
		return failed(err), nil
	}
	reply, after, err := o.do(r.held.plugin, t, q.Body)
	if err != nil {
		return failed(err), nil
	}
	t.report()
	a.Reply = janus.Object(reply)
	if t.room.byID[t.id] == t || t.shared.left != "" {
		a.Entry, _ = t.encode()
	}
	return a, after
}

// failed is the answer that carries an error.
func failed(err error) answer {
	o := refusal(err)
	c, _ := o["error_code"].(int)
	text, _ := o["error"].(string)
	return answer{Code: code(c), Error: text}
}
