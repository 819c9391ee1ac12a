package janus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"

	"github.com/google/go-cmp/cmp"
)

// newAdmin makes the admin API of a server; change, which may be nil, changes its configuration.
func newAdmin(t *testing.T, s *janus.Server, change func(*janus.AdminConfig)) *janus.Admin {
	t.Helper()
	cfg := janus.AdminConfig{Secret: "adm"}
	if change != nil {
		change(&cfg)
	}
	a, err := janus.NewAdmin(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// managed is a plugin that the admin API can talk to.
type managed struct{ plugin }

func (*managed) Info() janus.PluginInfo { return janus.PluginInfo{Package: "janus.plugin.managed"} }

func (*managed) Admin(_ context.Context, body janus.Object) any {
	switch body.String("request") {
	case "panic":
		panic("asked to")
	case "func":
		return func() {}
	case "nothing":
		return nil
	}
	return M{"got": body}
}

func TestAdminNeedsASecret(t *testing.T) {
	s, _ := janustest.NewServer(t, nil)
	if _, err := janus.NewAdmin(s, janus.AdminConfig{}); err == nil {
		t.Error("an admin API that is open to all")
	}
}

// TestAdminQueries walks the requests that need something around the server.
func TestAdminQueries(t *testing.T) {
	var log bytes.Buffer
	level := new(slog.LevelVar)
	s, _ := janustest.NewServer(t, func(c *janus.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
	}, &managed{}, &plugin{})
	asked := netip.AddrPort{}
	full := newAdmin(t, s, func(c *janus.AdminConfig) {
		c.Level = level
		c.Transports = map[string]func(janus.Object) any{"janus.transport.x": func(r janus.Object) any { return M{"asked": r["q"]} }}
		c.STUN = func(_ context.Context, server netip.AddrPort, local uint16) (netip.AddrPort, error) {
			if asked = server; local == 9 {
				return netip.AddrPort{}, errors.New("nobody there")
			}
			return netip.MustParseAddrPort("192.0.2.7:" + "4711"), nil
		}
	})
	bare := newAdmin(t, s, nil)
	for _, tt := range []struct {
		request string
		want    string // of the reply, without janus and transaction; or the error's code and sentence
	}{
		{`"message_plugin","plugin":"janus.plugin.managed","request":{"a":1}`, `{"response":{"got":{"a":1}}}`},
		{`"message_plugin","plugin":"janus.plugin.managed"`, `{"response":{"got":null}}`},
		{`"message_plugin","plugin":"janus.plugin.managed","request":{"request":"nothing"}`, `{"response":{}}`},
		{`"message_plugin","plugin":"janus.plugin.managed","request":{"request":"panic"}`, "490 Internal error"},
		{`"message_plugin","plugin":"janus.plugin.managed","request":{"request":"func"}`, "462 Plugin's reply is not JSON"},
		{`"message_plugin","plugin":"janus.plugin.managed","request":[]`, "467 Invalid element type (request should be an object)"},
		{`"message_plugin","plugin":"` + probe + `"`, "490 Plugin doesn't support Admin API messages"},
		{`"message_plugin","plugin":"janus.plugin.nope"`, "460 Invalid plugin"},
		{`"query_transport","transport":"janus.transport.x","request":{"q":2}`, `{"response":{"asked":2}}`},
		{`"query_transport","transport":"janus.transport.y"`, "460 Invalid transport"},
		{`"query_logger","logger":"janus.logger.x"`, "460 Invalid logger"},
		{`"query_eventhandler","handler":"janus.eventhandler.x"`, "460 Invalid event handler"},
		{`"set_log_level","level":7`, `{"level":7}`},
		{`"set_log_level","level":8`, "467 Invalid element type (level should be between 0 and 7)"},
		{`"custom_logline","line":"as debug","level":6`, `{}`},
		{`"custom_logline","line":"as usual","level":99`, `{}`},
		{`"set_log_level","level":0`, `{"level":0}`},
		{`"custom_logline","line":"in vain","level":2`, `{}`},
		{`"set_log_level","level":4`, `{"level":4}`},
		{`"resolve_address","address":"192.0.2.1"`, `{"elapsed":0,"ip":"192.0.2.1"}`},
		{`"resolve_address","address":"not a name"`, "490 Could not resolve address"},
		{`"test_stun","address":"192.0.2.1","port":3478`, `{"elapsed":0,"public_ip":"192.0.2.7","public_port":4711}`},
		{`"test_stun","address":"192.0.2.1","port":3478,"localport":9`, "490 STUN request failed"},
		{`"test_stun","address":"192.0.2.1","port":65536`, "490 STUN request failed"},
		{`"test_stun","address":"192.0.2.1","port":1,"localport":65536`, "490 STUN request failed"},
		{`"test_stun","address":"not a name","port":1`, "490 Could not resolve address"},
		{`"set_no_media_timer","no_media_timer":18446744073709551615`, `{"no_media_timer":2147483648}`},
		{`"set_min_nack_queue","min_nack_queue":900`, `{"min_nack_queue":200}`},
		{`"info","x":1`, "*"},
	} {
		if got := ask(t, full, tt.request); got != tt.want && tt.want != "*" {
			t.Errorf("%s: %s, want %s", tt.request, got, tt.want)
		}
	}
	if asked != netip.MustParseAddrPort("192.0.2.1:3478") {
		t.Error("asked", asked)
	}
	for _, want := range []string{`level=DEBUG msg="line of the operator's" line="as debug"`, `level=INFO msg="line of the operator's" line="as usual"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("not in the log: %s\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "in vain") {
		t.Error("the log took a line above its level")
	}
	if got := ask(t, bare, `"set_log_level","level":3`); !strings.HasPrefix(got, "490 ") {
		t.Error("a level that cannot be changed:", got)
	}
	if got := ask(t, bare, `"test_stun","address":"192.0.2.1","port":3478`); got != "490 STUN request failed" {
		t.Error("without STUN:", got)
	}
}

// ask sends one request with the secret and sums the reply up.
func ask(t *testing.T, a *janus.Admin, request string) string {
	t.Helper()
	l, fault := janus.Parse([]byte(`{"transaction":"1","admin_secret":"adm","janus":` + request + `}`))
	if fault != nil {
		t.Fatal(fault)
	}
	replies := 0
	var reply []byte
	a.Handle(t.Context(), janus.Request{Object: l[0]}, func(b []byte) { replies, reply = replies+1, b })
	var m M
	if err := json.Unmarshal(reply, &m); err != nil || replies != 1 || m["transaction"] != "1" {
		t.Fatalf("%s: %d replies, %s, %v", request, replies, reply, err)
	}
	if e, ok := m["error"].(M); ok {
		return strings.TrimSuffix(strings.TrimSpace(jsonText(e["code"])+" "+e["reason"].(string)), " ")
	}
	delete(m, "janus")
	delete(m, "transaction")
	if m["elapsed"] != nil {
		m["elapsed"] = 0
	}
	return jsonText(m)
}

func jsonText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// TestHandleInfo checks what is told of a PeerConnection at each step, by the keys that Janus's tools look for.
func TestHandleInfo(t *testing.T) {
	s, p := janustest.NewServer(t, nil, &plugin{})
	a := janustest.Connect(t, newAdmin(t, s, nil))
	h := janustest.Open(t, s, probe)
	info := func() M {
		t.Helper()
		r := a.Request(M{"janus": "handle_info", "admin_secret": "adm", "session_id": h.Session(), "handle_id": h.ID})
		if r["handle_id"] != h.ID || r["session_id"] != h.Session() {
			t.Fatal(r)
		}
		return r["info"].(M)
	}
	set := func(flags any) (on []string) {
		for k, v := range flags.(M) {
			if v == true {
				on = append(on, k)
			}
		}
		slices.Sort(on)
		return on
	}
	keys := func(v any) []string {
		var l []string
		for k := range v.(M) {
			l = append(l, k)
		}
		slices.Sort(l)
		return l
	}
	h.Request(M{"janus": "trickle", "candidate": M{"candidate": "", "sdpMid": "0"}})
	i := info()
	if d := cmp.Diff([]string{
		"created", "current_time", "flags", "handle_id", "loop-running", "pending-trickles", "plugin", "plugin_specific", "queued-packets", "sdps",
		"session_id", "session_last_activity", "session_timeout", "session_transport",
	}, keys(i)); d != "" || len(set(i["flags"])) != 0 {
		t.Error("without a PeerConnection:", d, set(i["flags"]))
	}

	offer := janustest.Offer("audio", "video", "data")
	h.Message(M{"request": "answer"}, offer)
	i = info()
	if d := cmp.Diff([]string{"data-channels", "got-answer", "got-offer", "has-audio", "has-video", "negotiated", "rfc4588-rtx", "starting", "trickle"}, set(i["flags"])); d != "" {
		t.Error("flags before it is up:", d)
	}
	sdps := i["sdps"].(M)
	if sdps["remote"] != offer["sdp"] || !strings.Contains(sdps["local"].(string), "a=setup:active") || sdps["profile"] != "UDP/TLS/RTP/SAVPF" {
		t.Error(sdps)
	}
	id := p.Peers()[0].ID
	p.SetStats(id, plane.PeerStats{
		State: "connected", DTLSState: "connected", Protocol: "udp", Local: "192.0.2.1:1", Remote: "192.0.2.2:2", SRTPProfile: "AEAD_AES_128_GCM",
		Lines: []plane.LineStats{
			{Mid: "0", Packets: 3, Bytes: 300, Layers: []plane.LayerStats{{SSRC: 77, Bitrate: 8000}}},
			{Mid: "0", Sending: true, Packets: 5, Bytes: 500},
		},
	})
	p.Up(id)
	h.EventOf("webrtcup")
	i = info()
	w := i["webrtc"].(M)
	ice, dtls, media := w["ice"].(M), w["dtls"].(M), w["media"].(M)
	if ice["state"] != "ready" || ice["selected-pair"] != "192.0.2.1:1 [host,udp] <-> 192.0.2.2:2 [prflx,udp]" || ice["connected"] == nil {
		t.Error("ice:", ice)
	}
	if dtls["dtls-state"] != "connected" || dtls["dtls-role"] != "active" || dtls["sctp-association"] != true || dtls["remote-fingerprint-hash"] != "sha-256" ||
		jsonText(dtls["stats"]) != `{"in":{"bytes":300,"packets":3},"out":{"bytes":500,"packets":5}}` {
		t.Error("dtls:", dtls)
	}
	audio := media["0"].(M)
	if jsonText(audio["codecs"]) != `{"codec":"opus","pt":111}` || jsonText(audio["stats"].(M)["in"]) != `{"bytes":300,"bytes_lastsec":1000,"packets":3}` ||
		jsonText(audio["ssrc"].(M)["ssrc-peer"]) != "77" || jsonText(audio["direction"]) != `{"recv":true,"send":false}` {
		t.Error("audio:", audio)
	}
	if d := cmp.Diff([]string{"direction", "mid", "mindex", "type"}, keys(media["2"])); d != "" {
		t.Error("data:", d)
	}
	if on := set(i["flags"]); !slices.Contains(on, "ready") || slices.Contains(on, "starting") {
		t.Error("flags when it is up:", on)
	}

	p.Fail("Stats", plane.ErrNoPeer)
	if w := info()["webrtc"].(M); w["ice"].(M)["state"] != "disconnected" {
		t.Error("without figures:", w)
	}

	// An offer of ours that nobody answered yet.
	two := h.Attach(probe)
	two.Message(M{"request": "offer"}, nil)
	r := a.Request(M{"janus": "handle_info", "admin_secret": "adm", "session_id": h.Session(), "handle_id": two.ID})["info"].(M)
	if r["webrtc"] != nil || !strings.Contains(r["sdps"].(M)["local"].(string), "a=setup:actpass") || r["sdps"].(M)["remote"] != nil {
		t.Error(r)
	}
}

// FuzzAdmin gives the admin API any object: there is one reply, it is JSON, and it is none without the secret.
func FuzzAdmin(f *testing.F) {
	for _, seed := range []string{
		`{"janus":"handle_info","session_id":1,"handle_id":2}`, `{"janus":"set_session_timeout","timeout":-1,"session_id":1}`,
		`{"janus":"message_plugin","plugin":"janus.plugin.probe","request":{}}`, `{"janus":"set_log_level","level":99999999999999999999}`,
		`{"janus":"custom_logline","line":"\n","level":1}`, `{"janus":"add_token","token":"","plugins":[null]}`, `{"janus":5}`, `[]`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	s, _ := janustest.NewServer(f, func(c *janus.Config) { c.TokenAuth = true }, &plugin{}, &managed{})
	a, err := janus.NewAdmin(s, janus.AdminConfig{Secret: "adm", Level: new(slog.LevelVar)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, secret bool) {
		l, fault := janus.Parse([]byte(text))
		if fault != nil {
			return
		}
		for _, o := range l {
			name := strings.ToLower(o.String("janus"))
			if name == "resolve_address" || name == "test_stun" {
				continue // the network is not ours to fuzz
			}
			delete(o, "admin_secret")
			if o["transaction"] = "1"; secret {
				o["admin_secret"] = "adm"
			}
			var replies [][]byte
			a.Handle(t.Context(), janus.Request{Object: o}, func(b []byte) { replies = append(replies, b) })
			var m M
			if len(replies) != 1 || json.Unmarshal(replies[0], &m) != nil {
				t.Fatalf("%s: %s", text, replies)
			}
			if open := m["janus"] == "pong" || m["janus"] == "server_info"; !secret && !open && m["janus"] != "error" {
				t.Fatalf("%s: %s", text, replies)
			}
		}
	})
}
