package console

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DrainRequest asks a node to take no new clients, to let the present ones go, and to end; or to take that back.
type DrainRequest struct {
	Node            string  `json:"node,omitempty"`             // id, the beginning of one, or name; "" is the node asked
	Undo            bool    `json:"undo,omitempty"`             //
	DeadlineSeconds float64 `json:"deadline_seconds,omitempty"` // until it ends at the latest; 0: as the node is configured
}

// Drained says what came of it.
type Drained struct {
	Node            string   `json:"node"`  // its name
	Label           string   `json:"label"` // the same as people read it [NameNodes]
	ID              string   `json:"id"`
	Draining        bool     `json:"draining"`
	DeadlineSeconds float64  `json:"deadline_seconds,omitempty"`
	Waiting         *Waiting `json:"waiting,omitempty"` // what it waits for now; nil: it does not drain
}

// Leaving is how far a draining node is.
type Leaving struct {
	Until   time.Time `json:"until"` // when it ends at the latest
	Waiting Waiting   `json:"waiting"`
}

// Waiting counts what a draining node waits for.
type Waiting struct {
	Clients int `json:"clients"` // with media there, or elsewhere by their sessions there
	Relays  int `json:"relays"`  // TURN allocations by which somebody sends
	Streams int `json:"streams"` // that other nodes get from there, one for each of them
	Records int `json:"records"` // of rooms, that are not handed over yet
}

// String says it to people: "3 clients, 1 TURN relay"; "nobody" if there is nothing.
func (w Waiting) String() string {
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{
		{w.Clients, "client", "clients"},
		{w.Relays, "TURN relay", "TURN relays"},
		{w.Streams, "stream for another node", "streams for other nodes"},
		{w.Records, "room to hand over", "rooms to hand over"},
	} {
		switch {
		case p.n == 1:
			parts = append(parts, "1 "+p.one)
		case p.n > 1:
			parts = append(parts, strconv.Itoa(p.n)+" "+p.many)
		}
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}

// handleDrain adds the order to the API.
func handleDrain(commanding func(pattern string, h http.HandlerFunc), drain func(context.Context, DrainRequest) (Drained, error)) {
	commanding("POST /api/v1/drain", changing(func(_ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
		var q DrainRequest
		if err := read(body, &q); err != nil {
			return nil, err
		}
		return drain(r.Context(), q)
	}))
}

// Drain asks for a node to be drained.
func (c Client) Drain(ctx context.Context, r DrainRequest) (d Drained, err error) {
	return d, c.post(ctx, "/api/v1/drain", r, &d)
}
