package console

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RoomView is one room with those who are in it.
type RoomView struct {
	Room         Room          `json:"room"`
	Participants []Participant `json:"participants"` // a part of them, as many as were asked for
	Offset       int           `json:"offset"`
	Matched      int           `json:"matched"` // how many there are to be asked for
	Routes       []Route       `json:"routes"`
	Silent       []string      `json:"silent,omitempty"` // ids of nodes that did not answer in time
}

// Participant is one who joined a room.
type Participant struct {
	ID      string    `json:"id"`
	Display string    `json:"display,omitempty"` // as the client chose it
	Joined  time.Time `json:"joined,omitzero"`   // by the clock of its node
	Node    string    `json:"node,omitempty"`    // id of the node that it talks to; "" while not known
	Media   string    `json:"media,omitempty"`   // of the node that has its media, when that is another
	Talking bool      `json:"talking,omitempty"`
	Streams []Sent    `json:"streams,omitempty"` // what it publishes
	Quality *Quality  `json:"quality,omitempty"` // nil: its node has no figures of it
}

// Sent is a stream of a participant.
type Sent struct {
	Mid         string `json:"mid"`
	Kind        string `json:"kind"` // "audio", "video" or "data"
	Codec       string `json:"codec,omitempty"`
	Description string `json:"description,omitempty"`
	Muted       bool   `json:"muted,omitempty"` // by a moderator
}

// Quality is what a node saw of a client over the last minutes: one figure a step, oldest first, nil where there was nothing to
// see. "Up" is from the client, "down" to it.
type Quality struct {
	StepSeconds float64    `json:"step_seconds"`
	RTTMS       []*float64 `json:"rtt_ms"`
	LossUp      []*float64 `json:"loss_up"`   // share of packets, before repair
	LossDown    []*float64 `json:"loss_down"` //
	RateUp      []*float64 `json:"rate_up"`   // bits/s
	RateDown    []*float64 `json:"rate_down"` //
	MOS         *float64   `json:"mos,omitempty"`
	Frozen      *float64   `json:"frozen,omitempty"` // share of the time that it watched, 0 to 1
}

// Route is a way that streams of a room take.
type Route struct {
	Path    []string      `json:"path"`    // ids of nodes, from the publishers' on
	Streams []RouteStream `json:"streams"` // sorted, a part of them if there are very many
	More    int           `json:"more,omitempty"`
}

// RouteStream names a stream of a route.
type RouteStream struct {
	Publisher string `json:"publisher"`
	Mid       string `json:"mid"`
}

// ParticipantRange says which participants of a room are asked for: those whose id or name contains Search, by the time they joined.
type ParticipantRange struct {
	Search        string
	Offset, Limit int
}

const (
	defaultParticipantLimit = 50
	maxParticipantLimit     = 200
)

// handleRoom adds what is known of one room to the API.
func handleRoom(closed func(pattern string, h http.HandlerFunc), view func(ctx context.Context, plugin, room string, p ParticipantRange) (RoomView, bool)) {
	asking := make(turns, gatherings)
	closed("GET /api/v1/room", func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		p := ParticipantRange{Search: strings.ToLower(strings.TrimSpace(v.Get("search"))), Limit: defaultParticipantLimit}
		for name, into := range map[string]*int{"offset": &p.Offset, "limit": &p.Limit} {
			n, err := strconv.Atoi(v.Get(name))
			if v.Get(name) == "" {
				continue
			}
			if err != nil || n < 0 {
				http.Error(w, name+": want a number from 0 on", http.StatusBadRequest)
				return
			}
			*into = n
		}
		p.Limit = min(p.Limit, maxParticipantLimit)
		if v.Get("room") == "" || len(p.Search) > maxSearch {
			http.Error(w, "room: want plugin and room; search: at most 200 bytes", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), gatherTime)
		defer cancel()
		back, err := asking.take(ctx)
		if err != nil {
			http.Error(w, "too many ask, wait a moment", http.StatusServiceUnavailable)
			return
		}
		answered, ok := func() (RoomView, bool) {
			defer back()
			return view(ctx, v.Get("plugin"), v.Get("room"), p)
		}()
		if !ok {
			http.Error(w, "no such room", http.StatusNotFound)
			return
		}
		answer(w, answered)
	})
}
