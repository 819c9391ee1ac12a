package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"cardea/node/console"
)

// TestMeshCommands asks a console whose mesh is made up.
func TestMeshCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	rtt, loss := 150.26, 0.0123
	var asked console.InviteRequest
	server := httptest.NewServer(console.New(console.Config{
		Access: func() console.Access {
			return console.Access{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		},
		Metrics: http.NotFoundHandler(),
		Mesh: &console.Mesh{
			Nodes: func() []console.MeshNode {
				return []console.MeshNode{
					{ID: "aaaaaaaabbbbbbbb", Name: "one", Region: "eu", State: "ready", Self: true, Authority: true, Planes: []string{"signaling", "media"}, Load: 0.25, Version: "v1", Addresses: []string{"192.0.2.1:7947"}},
					{ID: "ccccccccdddddddd", Name: "t\x1bwo", State: "draining", RTTMS: &rtt, Loss: &loss},
				}
			},
			Invite: func(_ context.Context, r console.InviteRequest) (string, error) {
				asked = r
				return "cardea_text", nil
			},
			RotateKeys: func(context.Context) error { return nil },
			Expel: func(_ context.Context, r console.ExpelRequest) (console.Expulsion, error) {
				e := console.Expulsion{ID: r.Node, Label: r.Node, There: r.Node != "away", Authority: r.Node == "first"}
				if r.Node == "slow" {
					e.Behind = []string{"two"}
				}
				return e, nil
			},
		},
	}))
	defer server.Close()
	tests := []struct{ args, out string }{
		{"nodes", "aaaaaa*  one   eu      ready     signaling,media  25 %  self      -       v1       192.0.2.1:7947\n"},
		{"nodes", "cccccc   t?wo  -       draining  -                0 %   150.3 ms  1.23 %  -        -\n"},
		{"nodes --json", `"rtt_ms": 150.26`},
		{"token --ttl 90m --uses 3 --authority", "cardea_text\n"},
		{"token --json", `"invitation": "cardea_text"`},
		{"expel --url URL one", "one (one) is expelled; open invitations are void\nthe new key is in use on all nodes\n"},
		{"expel --url URL slow", "as soon as they can be reached: two\n"},
		{"expel --url URL first", "begin a new cluster"},
		{"expel --url URL away", "if it held the authority's key"},
		{"expel --json --url URL one", `"there": true`},
		{"keys rotate", "the new key is in use on all nodes"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		args := strings.Fields(strings.ReplaceAll(tt.args, "URL", server.URL))
		if !strings.Contains(tt.args, "--url") { // options stand before a node
			args = append(args, "--url", server.URL)
		}
		if err := dispatch(t.Context(), args, &out); err != nil || !strings.Contains(out.String(), tt.out) {
			t.Errorf("%s: %v\n%s", tt.args, err, &out)
		}
		if strings.HasPrefix(tt.args, "token --ttl") && (asked != console.InviteRequest{TTLSeconds: int(90 * time.Minute / time.Second), Uses: 3, Authority: true}) {
			t.Errorf("asked for %+v", asked)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
