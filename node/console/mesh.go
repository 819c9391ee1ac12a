package console

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Mesh is what the console shows and does of the mesh. Functions are called for every request, from many goroutines; those that
// return errors end with the request.
type Mesh struct {
	Nodes      func() []MeshNode
	Streams    func(ctx context.Context) []MeshStream
	Invite     func(ctx context.Context, r InviteRequest) (invitation string, err error)
	RotateKeys func(ctx context.Context) error
	Drain      func(ctx context.Context, r DrainRequest) (Drained, error)
	Expel      func(ctx context.Context, r ExpelRequest) (Expulsion, error)
	Overview   func(ctx context.Context) Overview // it asks the other nodes; nil: there is none
}

// MeshNodes is the list of all nodes, the one asked included.
type MeshNodes struct {
	Nodes []MeshNode `json:"nodes"`
}

// MeshNode is one node as the one asked sees it.
type MeshNode struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Label     string    `json:"label"` // the name as people read it, with the beginning of the id where others have it too [NameNodes]
	Short     string    `json:"short"` // the same where there is little room
	Region    string    `json:"region,omitempty"`
	Version   string    `json:"version"`
	State     string    `json:"state"`     // "ready" or "draining"
	Self      bool      `json:"self"`      // it is the one asked
	Authority bool      `json:"authority"` // it can admit new nodes
	Planes    []string  `json:"planes"`    // of "signaling", "media" and "turn"
	Addresses []string  `json:"addresses"` // of its links, best first
	Load      float64   `json:"load"`      // share of what it takes, 0 to 1
	Started   time.Time `json:"started"`
	RTTMS     *float64  `json:"rtt_ms,omitempty"` // to it; absent while not known
	Loss      *float64  `json:"loss,omitempty"`   // share of packets, before repair, to and from it; absent without a link
	Linked    bool      `json:"linked"`           // a link to it is up

	// What the link to it carried since it came up, in bytes: packets of streams and of data channels, without what transport adds.
	SentBytes     uint64 `json:"sent_bytes,omitempty"`
	ReceivedBytes uint64 `json:"received_bytes,omitempty"`
}

// MeshStreams is the list of the streams that come to a node from others.
type MeshStreams struct {
	Streams []MeshStream `json:"streams"`
}

// MeshStream is a stream that comes from another node.
type MeshStream struct {
	Room      string   `json:"room"`
	Publisher string   `json:"publisher"`
	Mid       string   `json:"mid"`
	Path      []string `json:"path"` // ids of nodes, from the publisher's to this one
}

// InviteRequest asks for an invitation. What is zero takes the default.
type InviteRequest struct {
	TTLSeconds int  `json:"ttl_seconds,omitempty"` // 3600
	Uses       int  `json:"uses,omitempty"`        // 1
	Authority  bool `json:"authority,omitempty"`
}

// Invited is an invitation.
type Invited struct {
	Invitation string    `json:"invitation"`
	Expires    time.Time `json:"expires"`
}

const (
	defaultInviteTTL = 3600 // seconds
	maxInviteTTL     = 30 * 24 * 3600
	maxInviteUses    = 255
	maxBody          = 4 << 10 // bytes, of a request
)

// check fills in defaults.
func (r *InviteRequest) check() error {
	if r.TTLSeconds == 0 {
		r.TTLSeconds = defaultInviteTTL
	}
	if r.Uses == 0 {
		r.Uses = 1
	}
	if r.TTLSeconds < 1 || r.TTLSeconds > maxInviteTTL {
		return errors.New("ttl_seconds: want 1 to 2592000 (30 days)")
	}
	if r.Uses < 1 || r.Uses > maxInviteUses {
		return errors.New("uses: want 1 to 255")
	}
	return nil
}

// handle adds the mesh's part of the API: what is closed, and what commands.
func (m *Mesh) handle(closed, commanding func(pattern string, h http.HandlerFunc)) {
	closed("GET /api/v1/nodes", func(w http.ResponseWriter, _ *http.Request) { answer(w, MeshNodes{m.Nodes()}) })
	closed("GET /api/v1/streams", func(w http.ResponseWriter, r *http.Request) { answer(w, MeshStreams{m.Streams(r.Context())}) })
	commanding("POST /api/v1/invitations", changing(func(_ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
		var req InviteRequest
		if err := read(body, &req); err != nil {
			return nil, err
		}
		if err := req.check(); err != nil {
			return nil, badRequest{err}
		}
		text, err := m.Invite(r.Context(), req)
		return Invited{text, time.Now().Add(time.Duration(req.TTLSeconds) * time.Second)}, err
	}))
	commanding("POST /api/v1/keys/rotate", changing(func(_ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
		return struct{}{}, m.RotateKeys(r.Context())
	}))
	handleDrain(commanding, m.Drain)
	handleExpel(commanding, m.Expel)
	if m.Overview != nil {
		handleOverview(closed, m.Overview)
	}
}

// badRequest is the asker's fault.
type badRequest struct{ error }

// Unwrap returns what is wrong.
func (b badRequest) Unwrap() error { return b.error }

// Nodes asks for the nodes of the mesh.
func (c Client) Nodes(ctx context.Context) ([]MeshNode, error) {
	var n MeshNodes
	err := c.get(ctx, "/api/v1/nodes", &n)
	return n.Nodes, err
}

// Invite asks for an invitation.
func (c Client) Invite(ctx context.Context, r InviteRequest) (i Invited, err error) {
	return i, c.post(ctx, "/api/v1/invitations", r, &i)
}

// RotateKeys asks for new gossip keys, and waits until they are in use.
func (c Client) RotateKeys(ctx context.Context) error {
	return c.post(ctx, "/api/v1/keys/rotate", struct{}{}, &struct{}{})
}
