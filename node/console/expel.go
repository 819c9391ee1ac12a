package console

import (
	"context"
	"errors"
	"net/http"
)

// ExpelRequest asks for the end of a node's membership.
type ExpelRequest struct {
	Node string `json:"node"` // id, the beginning of one, or name; of a node that is not there the whole id
}

// Expulsion says what came of it.
type Expulsion struct {
	Node      string   `json:"node"`                // its name, "" if it was not there
	Label     string   `json:"label"`               // the same as people read it [NameNodes]
	ID        string   `json:"id"`                  //
	There     bool     `json:"there"`               // it was there
	Authority bool     `json:"authority,omitempty"` // it said that it holds the authority's key
	Behind    []string `json:"behind,omitempty"`    // labels of nodes that do not use the new gossip key yet
}

// handleExpel adds the order to the API.
func handleExpel(commanding func(pattern string, h http.HandlerFunc), expel func(context.Context, ExpelRequest) (Expulsion, error)) {
	commanding("POST /api/v1/expel", changing(func(_ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
		var q ExpelRequest
		if err := read(body, &q); err != nil {
			return nil, err
		}
		if q.Node == "" {
			return nil, badRequest{errors.New("node: which one?")}
		}
		return expel(r.Context(), q)
	}))
}

// Expel asks for the end of a node's membership.
func (c Client) Expel(ctx context.Context, r ExpelRequest) (e Expulsion, err error) {
	return e, c.post(ctx, "/api/v1/expel", r, &e)
}
