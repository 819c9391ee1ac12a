package console

import (
	"context"
	"net/http"
)

// DrainRequest asks a node to take no new clients, to let the present ones go, and to end; or to take that back.
type DrainRequest struct {
	Node            string  `json:"node,omitempty"`             // id, the beginning of one, or name; "" is the node asked
	Undo            bool    `json:"undo,omitempty"`             //
	DeadlineSeconds float64 `json:"deadline_seconds,omitempty"` // until it ends at the latest; 0: as the node is configured
}

// Drained says what came of it.
type Drained struct {
	Node            string  `json:"node"` // its name
	ID              string  `json:"id"`
	Draining        bool    `json:"draining"`
	DeadlineSeconds float64 `json:"deadline_seconds,omitempty"`
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
