package videoroom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cardea/signaling/janus"
)

// ErrNoRoom and ErrNoParticipant say that what an operator asks for does not exist, or not any more.
var (
	ErrNoRoom        = errors.New("no such room")
	ErrNoParticipant = errors.New("no such participant")
)

// ParticipantInfo is a participant as an operator sees it.
type ParticipantInfo struct {
	ID      string
	Display string    // "" for none
	Joined  time.Time // by the clock of its node
	Talking bool
	Streams []StreamInfo
}

// StreamInfo is a stream that a participant publishes.
type StreamInfo struct {
	Mid, Kind, Codec, Description string // the last two may be ""
	Muted                         bool   // by a moderator
}

// Inspect returns a room and some of its participants, dummies left out, in the order of their joining: those whose id or name contains search,
// whatever the case, from the offset on; and how many such there are. With a mesh it follows the room for a while. The error is [ErrNoRoom], or that
// it is not known.
func (p *Plugin) Inspect(ctx context.Context, name, search string, offset, limit int) (i RoomInfo, some []ParticipantInfo, matched int, err error) {
	id, ok := p.ids.read(name)
	if !ok {
		return i, nil, 0, fmt.Errorf("room %q: %w", name, ErrNoRoom)
	}
	search = strings.ToLower(search)
	_, err = p.visitRoom(ctx, id, func(r *room) (object, error) {
		i = r.summary()
		for _, m := range r.members {
			if m.dummy || !m.matches(search) {
				continue
			}
			if matched++; matched > offset && len(some) < limit {
				some = append(some, m.profile())
			}
		}
		return nil, nil
	})
	if err != nil {
		return i, nil, 0, known(name, err, codeNoSuchRoom, ErrNoRoom)
	}
	return i, some, matched, nil
}

// Expel throws a participant out of a room, wherever it is, as kick does, for an operator who needs no secret. The error is [ErrNoRoom], [ErrNoParticipant],
// or that its node cannot be reached.
func (p *Plugin) Expel(ctx context.Context, name, participant string) error {
	id, ok := p.ids.read(name)
	if !ok {
		return fmt.Errorf("room %q: %w", name, ErrNoRoom)
	}
	who, ok := p.ids.read(participant)
	if !ok {
		return fmt.Errorf("participant %q: %w", participant, ErrNoParticipant)
	}
	_, err := p.order(ctx, "kick", who, janus.Object{}, func(f func(r *room) (object, error)) (object, error) {
		return p.visitRoom(ctx, id, f)
	})
	if err = known(name, err, codeNoSuchRoom, ErrNoRoom); err != nil && !errors.Is(err, ErrNoRoom) {
		err = known(participant, err, codeNoSuchFeed, ErrNoParticipant)
	}
	return err
}

// known turns the Janus API's error of a code into ours.
func known(what string, err error, c code, ours error) error {
	if refused, ok := errors.AsType[*requestError](err); ok && refused.code == c {
		return fmt.Errorf("%q: %w", what, ours)
	}
	return err
}

// matches tells whether an operator who searches for text, in lower case, means the participant.
func (p *participant) matches(text string) bool {
	return text == "" || strings.Contains(strings.ToLower(p.id.String()), text) ||
		p.display != nil && strings.Contains(strings.ToLower(*p.display), text)
}

// profile is what an operator is told of the participant.
func (p *participant) profile() ParticipantInfo {
	talking := p.talking()
	i := ParticipantInfo{ID: p.id.String(), Talking: p.started && talking != nil && *talking}
	if p.display != nil {
		i.Display = *p.display
	}
	if p.shared.joined != 0 {
		i.Joined = time.UnixMicro(p.shared.joined)
	}
	for _, s := range p.streams {
		if s.disabled || s.inactive || !p.started {
			continue
		}
		si := StreamInfo{Mid: s.mid, Kind: s.kind.String(), Codec: s.codec, Muted: s.muted}
		if s.description != nil {
			si.Description = *s.description
		}
		i.Streams = append(i.Streams, si)
	}
	return i
}
