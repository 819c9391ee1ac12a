package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/node/config"
	"cardea/node/console"
)

// ask sends a request of the Janus API over HTTP.
func ask(t *testing.T, h *http.Client, c *config.Config, path, request string) map[string]any {
	t.Helper()
	resp, err := h.Post(fmt.Sprintf("http://%s:%d/janus%s", c.Node.Bind, c.Janus.HTTPPort, path), "application/json", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func id(t *testing.T, reply map[string]any) json.Number {
	t.Helper()
	data, _ := reply["data"].(map[string]any)
	n, ok := data["id"].(json.Number)
	if !ok {
		t.Fatalf("no id: %v", reply)
	}
	return n
}

// TestFigures asks a serving node for everything it knows of its planes.
func TestFigures(t *testing.T) {
	n, c := listen(t, "127.0.7.6")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	h := client(t)
	fetch := func(path string) (int, string) {
		resp, err := h.Get(ConsoleURL(c) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	session := id(t, ask(t, h, c, "", `{"janus":"create","transaction":"1"}`))
	path := "/" + session.String()
	handle := id(t, ask(t, h, c, path, `{"janus":"attach","plugin":"janus.plugin.videoroom","transaction":"2"}`))
	ask(t, h, c, path+"/"+handle.String(), `{"janus":"message","transaction":"3","body":{"request":"create","room":7,"description":"Seven","community_id":"c"}}`)
	ask(t, h, c, path, `{"janus":"nonsense","transaction":"4"}`)
	if code, _ := fetch("/api/v1/peers/" + session.String() + "/" + handle.String()); code != http.StatusNotFound {
		t.Errorf("a handle without media: %d", code)
	}

	echo := id(t, ask(t, h, c, path, `{"janus":"attach","plugin":"janus.plugin.echotest","transaction":"5"}`))
	offer, err := json.Marshal(map[string]any{"janus": "message", "transaction": "6", "body": map[string]any{}, "jsep": map[string]any{"type": "offer", "sdp": testOffer}})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, h, c, path+"/"+echo.String(), string(offer))
	poll, err := h.Get(fmt.Sprintf("http://%s:%d/janus%s", c.Node.Bind, c.Janus.HTTPPort, path)) // waits for the answer
	if err != nil {
		t.Fatal(err)
	}
	poll.Body.Close()
	var p console.Peer
	code, body := fetch("/api/v1/peers/" + session.String() + "/" + echo.String())
	if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusOK || p.State == "" || p.DTLSState != "new" || len(p.Lines) == 0 {
		t.Errorf("peer: %d %s %v", code, body, err)
	}

	status, err := console.Client{URL: ConsoleURL(c), HTTP: h}.Status(t.Context())
	if err != nil || status.Sessions != 1 || status.Handles != 2 || status.Peers != 1 || status.Nodes != 1 || status.Links != 0 {
		t.Errorf("status %+v, %v", status, err)
	}
	rooms, err := console.Client{URL: ConsoleURL(c), HTTP: h}.Rooms(t.Context())
	want := []console.Room{{Plugin: "janus.plugin.videoroom", Room: "7", Description: "Seven", CommunityID: "c", MaxPublishers: 3, Keeper: string(n.cluster.Self().ID)}}
	if d := cmp.Diff(want, rooms); err != nil || d != "" {
		t.Errorf("rooms: %v %s", err, d)
	}
	_, metrics := fetch("/metrics")
	for _, line := range []string{
		"cardea_janus_sessions 1", "cardea_janus_handles 2", "cardea_janus_peers 1", `cardea_janus_requests_total{verb="attach"} 2`,
		`cardea_janus_requests_total{verb="other"} 1`, `cardea_janus_errors_total{code="453"} 1`, "cardea_videoroom_rooms 0",
		"cardea_videoroom_participants 0", "cardea_media_peers 1", "cardea_media_packets_in_total 0", "cardea_udp_datagrams_in_total 0",
		`cardea_mesh_nodes{state="ready"} 1`, `cardea_mesh_nodes{state="draining"} 0`, "cardea_mesh_links 0", "cardea_mesh_link_bytes_in_total 0",
		"cardea_mesh_streams_pulled 0", "cardea_mesh_streams_waiting 0", "cardea_mesh_room_records 1", "cardea_mesh_messages_said_total 0", "cardea_mesh_admitted_total 0",
		"cardea_turn_allocations 0", "cardea_turn_allocations_total 0",
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("%q is not among the metrics", line)
		}
	}
	_, page := fetch("/api/v1/page")
	if !strings.Contains(page, `"urls":["turn:127.0.7.6:3478?transport=udp","turn:127.0.7.6:3478?transport=tcp"]`) || strings.Contains(page, n.pageTURN.secret) {
		t.Errorf("page: %s", page)
	}
}

// TestFiguresWithoutTURN wants neither credentials nor metrics of what is not there.
func TestFiguresWithoutTURN(t *testing.T) {
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	c.Node.Bind, c.TURN.Enabled = netip.MustParseAddr("127.0.7.7"), false
	n, err := Listen(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.consoleConfig().ICEServers != nil {
		t.Error("credentials without TURN")
	}
	if out := scrape(t, n.registry); strings.Contains(out, "cardea_turn_") || !strings.Contains(out, "cardea_media_peers 0") {
		t.Error("metrics of TURN, or none of the media plane")
	}
}

// testOffer is a client's that never connects.
var testOffer = strings.ReplaceAll(`v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=setup:actpass
a=fingerprint:sha-256 `+strings.TrimSuffix(strings.Repeat("AB:", 32), ":")+`
a=rtpmap:111 opus/48000/2
`, "\n", "\r\n")
