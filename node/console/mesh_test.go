package console

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// meshConfig is a console's with a mesh that remembers what it was asked.
func meshConfig(asked *[]InviteRequest) Config {
	cfg := config()
	rtt := 81.5
	cfg.Mesh = &Mesh{
		Nodes: func() []MeshNode { return []MeshNode{{ID: "a", Self: true}, {ID: "b", RTTMS: &rtt}} },
		Streams: func(context.Context) []MeshStream {
			return []MeshStream{{Room: "videoroom/1", Publisher: "2", Mid: "0", Path: []string{"b", "a"}}}
		},
		Invite: func(_ context.Context, r InviteRequest) (string, error) {
			*asked = append(*asked, r)
			if r.Authority {
				return "", errors.New("this node does not hold the authority's key")
			}
			return "cardea_x", nil
		},
		RotateKeys: func(context.Context) error { return nil },
		Expel: func(_ context.Context, r ExpelRequest) (Expulsion, error) {
			if r.Node == "a" {
				return Expulsion{}, errors.New("not itself")
			}
			return Expulsion{ID: r.Node, There: true}, nil
		},
	}
	return cfg
}

func TestMeshAccess(t *testing.T) {
	var asked []InviteRequest
	h := New(meshConfig(&asked))
	tests := []struct {
		name, method, path, remote string
		header                     map[string]string
		body                       string
		status                     int
		answer                     string
	}{
		{"nodes", "GET", "/api/v1/nodes", "127.0.0.1:1", nil, "", 200, `"rtt_ms":81.5`},
		{"nodes to a stranger", "GET", "/api/v1/nodes", "192.0.2.1:1", nil, "", 401, ""},
		{"streams", "GET", "/api/v1/streams", "127.0.0.1:1", nil, "", 200, `"path":["b","a"]`},
		{"streams to a stranger", "GET", "/api/v1/streams", "192.0.2.1:1", nil, "", 401, ""},
		{"invitation", "POST", "/api/v1/invitations", "127.0.0.1:1", nil, `{"uses": 2}`, 200, `"invitation":"cardea_x"`},
		{"invitation to a stranger", "POST", "/api/v1/invitations", "192.0.2.1:1", nil, "{}", 401, ""},
		{"with the token", "POST", "/api/v1/invitations", "192.0.2.1:1", map[string]string{"Authorization": "Bearer secret"}, "{}", 200, "cardea_x"},
		{"from a page of another origin", "POST", "/api/v1/invitations", "127.0.0.1:1", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, "{}", 403, ""},
		{"from a form", "POST", "/api/v1/keys/rotate", "127.0.0.1:1", map[string]string{"Content-Type": "text/plain"}, "{}", 415, ""},
		{"without asking", "GET", "/api/v1/invitations", "127.0.0.1:1", nil, "", 404, ""},
		{"no JSON", "POST", "/api/v1/invitations", "127.0.0.1:1", nil, "uses=2", 400, "not a proper request"},
		{"too many uses", "POST", "/api/v1/invitations", "127.0.0.1:1", nil, `{"uses": 256}`, 400, "uses: want"},
		{"for too long", "POST", "/api/v1/invitations", "127.0.0.1:1", nil, `{"ttl_seconds": -1}`, 400, "ttl_seconds: want"},
		{"too long", "POST", "/api/v1/invitations", "127.0.0.1:1", nil, strings.Repeat(" ", 5000) + "{}", 413, ""},
		{"what the node cannot do", "POST", "/api/v1/invitations", "127.0.0.1:1", nil, `{"authority": true}`, 409, "does not hold"},
		{"expel", "POST", "/api/v1/expel", "127.0.0.1:1", nil, `{"node": "b"}`, 200, `"id":"b"`},
		{"expel itself", "POST", "/api/v1/expel", "127.0.0.1:1", nil, `{"node": "a"}`, 409, "not itself"},
		{"expel nobody", "POST", "/api/v1/expel", "127.0.0.1:1", nil, `{}`, 400, "which one"},
		{"a stranger expels", "POST", "/api/v1/expel", "192.0.2.1:1", nil, `{"node": "b"}`, 401, ""},
		{"a page of another origin expels", "POST", "/api/v1/expel", "127.0.0.1:1", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, `{"node": "b"}`, 403, ""},
		{"rotate", "POST", "/api/v1/keys/rotate", "127.0.0.1:1", nil, "{}", 200, "{}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			r.RemoteAddr, r.Host = tt.remote, "127.0.0.1:9600"
			r.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) {
				t.Errorf("%d %.100s", w.Code, w.Body)
			}
		})
	}
	want := []InviteRequest{{TTLSeconds: 3600, Uses: 2}, {TTLSeconds: 3600, Uses: 1}, {TTLSeconds: 3600, Uses: 1, Authority: true}}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/nodes", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	New(config()).ServeHTTP(w, r)
	if w.Code != http.StatusNotFound {
		t.Errorf("without a mesh: %d", w.Code)
	}
}

func TestMeshClient(t *testing.T) {
	var asked []InviteRequest
	server := httptest.NewServer(New(meshConfig(&asked)))
	defer server.Close()
	c := Client{URL: server.URL, HTTP: server.Client()}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || !nodes[0].Self || *nodes[1].RTTMS != 81.5 {
		t.Errorf("nodes: %+v %v", nodes, err)
	}
	i, err := c.Invite(t.Context(), InviteRequest{TTLSeconds: 60})
	if err != nil || i.Invitation != "cardea_x" || time.Until(i.Expires) > time.Minute {
		t.Errorf("invitation: %+v %v", i, err)
	}
	if _, err = c.Invite(t.Context(), InviteRequest{Authority: true}); err == nil || !strings.Contains(err.Error(), "409 Conflict: this node does not hold") {
		t.Errorf("what cannot be: %v", err)
	}
	if err := c.RotateKeys(t.Context()); err != nil {
		t.Errorf("rotate: %v", err)
	}
}

// TestCommandsByAddress has nobody command by a name without the token: who resolves the name may be a page's owner, and the browser on
// an allowed network that has the page open takes the node for its server.
func TestCommandsByAddress(t *testing.T) {
	var asked []InviteRequest
	cfg := meshConfig(&asked)
	cfg.Mesh.Drain = func(context.Context, DrainRequest) (Drained, error) { return Drained{}, nil }
	h := New(cfg)
	for _, path := range []string{"/api/v1/invitations", "/api/v1/keys/rotate", "/api/v1/drain"} {
		for _, tt := range []struct {
			remote, host, token string
			status              int
		}{
			{"10.1.2.3:1", "10.0.0.7:9600", "", 200},
			{"127.0.0.1:1", "localhost:9600", "", 200},
			{"10.1.2.3:1", "evil.example:9600", "", 403},
			{"127.0.0.1:1", "evil.example:9600", "", 401},
			{"192.0.2.1:1", "10.0.0.7:9600", "", 401},
			{"192.0.2.1:1", "node.example", "secret", 200},
			{"10.1.2.3:1", "10.0.0.7:9600", "wrong", 401},
		} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
			r.RemoteAddr, r.Host = tt.remote, tt.host
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Origin", "http://"+tt.host)
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("%s from %s to %s with %q: %d %s", path, tt.remote, tt.host, tt.token, w.Code, w.Body)
			}
		}
	}
}
