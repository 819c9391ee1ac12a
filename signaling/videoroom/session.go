package videoroom

import (
	"context"
	"sync/atomic"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// session is the plugin's side of one handle. It becomes a publisher's or a subscriber's by its first join and stays so.
// Its fields are touched in the handle's turn; the pointers are atomic because queries are not.
type session struct {
	plugin *Plugin       // set once
	h      *janus.Handle // set once

	publisher  atomic.Pointer[participant]
	subscriber atomic.Pointer[subscriber]
	hungUp     bool // no PeerConnection was negotiated since the last hangup
	reports    reportLimit
}

var _ janus.Portable = (*session)(nil)

// Sync answers the requests that need no turn-taking with the client.
func (s *session) Sync(ctx context.Context, m *janus.Message) (any, bool) {
	name, err := requestName(m.Body)
	if err != nil {
		return refusal(err), true
	}
	if f, ok := syncRequests[name]; ok {
		reply, err := f(s.plugin, ctx, m.Body)
		if err != nil {
			return refusal(err), true
		}
		s.plugin.tellRequest(s, name, object(m.Body), reply)
		return reply, true
	}
	if asynchronous(name) {
		return nil, false
	}
	return refusal(unknownRequest(m.Body)), true
}

// Async answers the others.
func (s *session) Async(ctx context.Context, m *janus.Message) {
	if err := s.answer(ctx, m); err != nil {
		s.h.Push(m.Transaction, refusal(err), nil)
	}
}

func (s *session) answer(ctx context.Context, m *janus.Message) error {
	name, err := requestName(m.Body)
	if err != nil {
		return err
	}
	table := newcomerRequests
	p, sub := s.publisher.Load(), s.subscriber.Load()
	switch {
	case p != nil:
		table = publisherRequests
		if !p.isPresent() {
			return absent(name)
		}
	case sub != nil:
		table = subscriberRequests
		if name != "join" && sub.room.isDestroyed() {
			return refuse(codeNoSuchRoom, "No such room")
		}
	}
	f := table[name]
	switch {
	case f != nil:
		return f(s, ctx, m)
	case p == nil && sub == nil:
		return refuse(codeJoinFirst, "Invalid request on unconfigured participant")
	}
	return unknownRequest(m.Body)
}

// absent is the refusal of a request of somebody who is no more in the room.
func absent(name string) error {
	if name == "join" || name == "joinandconfigure" {
		return refuse(codeAlreadyJoined, "Not in a room (create a new handle)")
	}
	return refuse(codeNoSuchRoom, "No such room")
}

func (p *participant) isPresent() bool {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.present
}

func (r *room) isDestroyed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.destroyed
}

// joinAgain refuses a second join.
func (s *session) joinAgain(context.Context, *janus.Message) error {
	role := "subscriber"
	if s.publisher.Load() != nil {
		role = "publisher"
	}
	return refuse(codeAlreadyJoined, "Already in as a %s on this handle", role)
}

// Media takes the media plane's events.
func (s *session) Media(ctx context.Context, e plane.Event) {
	p, sub := s.publisher.Load(), s.subscriber.Load()
	switch e.Type {
	case plane.EventUp:
		if p != nil {
			p.up()
		} else if sub != nil {
			s.plugin.tell(sub.room, s, "subscribed", nil)
			s.requestKeyframes(ctx, sub)
		}
	case plane.EventTalking:
		if p != nil {
			p.talk(e)
		}
	case plane.EventLayers:
		if sub != nil {
			sub.layers(e)
		}
	case plane.EventSlowLink:
		s.slowLink(p, sub, e)
	case plane.EventQuality:
		s.quality(e.Quality)
	case plane.EventReceiving, plane.EventDown, plane.EventICEFailed, plane.EventPath, plane.EventDTLS:
		// the core's concern
	}
}

// slowLink tells the client of lost packets, once for the direction that its role is about.
func (s *session) slowLink(p *participant, sub *subscriber, e plane.Event) {
	switch {
	case p != nil && !e.Uplink:
		p.room.mu.Lock()
		bitrate := p.limit()
		p.room.mu.Unlock()
		s.h.Push("", object{"videoroom": "slow_link", "current-bitrate": bitrate}, nil)
	case sub != nil && e.Uplink:
		s.h.Push("", object{"videoroom": "slow_link"}, nil)
	}
}

// Hangup ends what the PeerConnection carried.
func (s *session) Hangup(ctx context.Context) {
	s.hungUp = true
	s.endMedia(ctx)
}

func (s *session) endMedia(ctx context.Context) {
	if p := s.publisher.Load(); p != nil {
		s.endPublishing(ctx, p)
	} else if sub := s.subscriber.Load(); sub != nil {
		sub.end()
	}
}

// Detach takes the participant out of its room. Janus ends the media of a handle twice when it goes, by the core's
// hangup and by the plugin's own clean-up, and so announces its end twice; the first is skipped if there was a hangup.
func (s *session) Detach(ctx context.Context) {
	if !s.hungUp {
		s.endMedia(ctx)
	}
	s.endMedia(ctx)
	if p := s.publisher.Load(); p != nil {
		p.room.mu.Lock()
		if p.present {
			p.part(partLeaving)
		}
		p.room.mu.Unlock()
	} else if sub := s.subscriber.Load(); sub != nil {
		sub.forget()
	}
}

// syncPublications tells the media plane what the participant's lines feed.
func (s *session) syncPublications(ctx context.Context) {
	p := s.publisher.Load()
	if p == nil || s.h.PeerID() == "" {
		return
	}
	p.room.mu.Lock()
	pubs := p.publications()
	p.room.mu.Unlock()
	if err := s.h.Publish(ctx, pubs); err != nil {
		s.h.Log().Warn("publications not applied", "error", err)
	}
}

// seconds is a number of seconds as a duration.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
