package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"cardea/mesh/far"
	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/signaling/echotest"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
	"cardea/signaling/transport"
)

var _ janus.Mesh = (*Sessions)(nil)

// signaling is a node that runs the Janus API, whose media is at the node "m".
type signaling struct {
	*node
	server *janus.Server

	stop       func() // ends the process as an operator does
	stopServer func() // ends the API's server only
}

// deployment is a mesh with one media node and several signaling nodes.
type deployment struct {
	*network
	media *janustest.Plane
	nodes []*signaling
	runs  int
}

func deploy(t *testing.T, ids ...link.NodeID) *deployment {
	d := &deployment{network: build(t), media: &janustest.Plane{}}
	calls := map[link.Kind]func(context.Context, link.NodeID, []byte) ([]byte, error){}
	server := far.Serve(far.ServerConfig{
		Plane: d.media, Log: slog.New(slog.DiscardHandler),
		Handle: func(k link.Kind, h func(context.Context, link.NodeID, []byte) ([]byte, error)) { calls[k] = h },
	})
	d.calls["m"] = calls
	d.run(server.Run)
	for _, id := range ids {
		d.add(id, false)
	}
	d.members(ids...)
	return d
}

// members says which signaling nodes there are.
func (d *deployment) members(ids ...link.NodeID) {
	for _, x := range d.nodes {
		x.SetNodes(ids)
	}
}

func (d *deployment) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	d.t.Cleanup(stop)
	return stop
}

// add starts a signaling node, or a new process at one.
func (d *deployment) add(id link.NodeID, outlives bool) *signaling {
	x := &signaling{}
	d.runs++
	var planes *far.Planes
	serve := func(n *node) Local {
		planes = far.New(far.Config{
			Self: id, Log: slog.New(slog.DiscardHandler),
			Call: func(ctx context.Context, to link.NodeID, k link.Kind, q []byte) ([]byte, error) {
				return d.call(ctx, id, to, k, q)
			},
			Choose: func(context.Context, far.Wish) link.NodeID { return "m" },
			Placed: func(session string, at []link.NodeID) {
				if s, err := strconv.ParseUint(session, 10, 64); err == nil {
					n.Placed(s, at)
				}
			},
			Places: func(ctx context.Context, session string) []link.NodeID {
				s, _ := strconv.ParseUint(session, 10, 64)
				return n.Places(ctx, s)
			},
		})
		server, err := janus.New(janus.Config{
			Node: fmt.Sprint(id, "-", d.runs), Plane: planes, Plugins: []janus.Plugin{echotest.Plugin{}, stubborn{}}, Mesh: n.Sessions,
			MediaOutlives: func(uint64) bool { return outlives }, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			d.t.Fatal(err)
		}
		x.server = server
		return Local{Call: server.FarCall, Poll: server.FarPoll, Connect: server.FarConnect, Lost: server.Lost}
	}
	x.node = d.start(id, serve)
	stopPlanes := d.run(planes.Run)
	x.stopServer = d.run(x.server.Run)
	x.stop = func() {
		x.stopServer()
		x.node.stop()
		stopPlanes()
	}
	d.nodes = append(d.nodes, x)
	return x
}

// stubborn is a plugin whose handles stay where they are.
type stubborn struct{ echotest.Plugin }

func (stubborn) Info() janus.PluginInfo {
	return janus.PluginInfo{Package: "stubborn", Name: "Stubborn"}
}

func (p stubborn) Attach(h *janus.Handle) (janus.Instance, error) {
	i, err := p.Plugin.Attach(h)
	return struct{ janus.Instance }{i}, err
}

// Restore of the embedded plugin must not count.
func (stubborn) Restore() {}

type m = janustest.M

// call makes a PeerConnection with the echo plugin and brings it up.
func (d *deployment) dial(h *janustest.Handle) plane.PeerID {
	d.t.Helper()
	if r := h.Message(m{"audio": true}, janustest.Offer("audio", "video")); janustest.Data(r)["result"] != "ok" {
		d.t.Fatalf("no call: %v", r)
	}
	peers := d.media.Peers()
	id := peers[len(peers)-1].ID
	d.media.Up(id)
	h.EventOf("webrtcup")
	time.Sleep(time.Second) // snapshots are kept
	return id
}

// TestForeignConnection has a client use a session through a node that does not own it.
func TestForeignConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b", "c")
		d.delay = 40 * time.Millisecond
		first := janustest.Connect(t, d.nodes[0].server).Create()
		first.Attach(echotest.Package)
		c := janustest.Connect(t, d.nodes[1].server).Resume(first.Session())
		if r := c.Request(m{"janus": "keepalive"}); r["janus"] != "ack" {
			t.Fatalf("keepalive: %v", r)
		}
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		h := c.Attach(echotest.Package)
		id := d.dial(h)
		d.media.Down(id, "DTLS alert")
		if e := h.EventOf("hangup"); e["reason"] != "DTLS alert" {
			t.Errorf("hangup: %v", e)
		}
		if r := c.Request(m{"janus": "message", "handle_id": json.Number("5"), "body": m{}}); r["janus"] != "error" {
			t.Errorf("a handle that is none: %v", r)
		}
		if len(first.Inbox()) != 0 {
			t.Errorf("the first connection got %v", first.Inbox())
		}
		if r := c.Request(m{"janus": "destroy"}); r["janus"] != "success" {
			t.Errorf("destroy: %v", r)
		}
		if r := c.Request(m{"janus": "keepalive"}); r["janus"] != "error" || r["error"].(m)["code"] != json.Number("458") {
			t.Errorf("after the end: %v", r)
		}
	})
}

// TestOrderOfReplies wants the ack before the event that follows it, also from afar.
func TestOrderOfReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b")
		d.delay = 40 * time.Millisecond
		owner := janustest.Open(t, d.nodes[0].server, echotest.Package)
		c := janustest.Connect(t, d.nodes[1].server).Resume(owner.Session())
		c.Request(m{"janus": "claim"})
		for range 20 {
			c.Send(m{"janus": "message", "handle_id": owner.ID, "body": m{"audio": true}})
		}
		time.Sleep(time.Second)
		var kinds []string
		for _, e := range c.Take() {
			kinds = append(kinds, e["janus"].(string)+" "+e["transaction"].(string))
		}
		for i := range 20 {
			tr := fmt.Sprint("t", i+2)
			ack, event := slices.Index(kinds, "ack "+tr), slices.Index(kinds, "event "+tr)
			if ack < 0 || event < ack {
				t.Errorf("%s: ack at %d, event at %d", tr, ack, event)
			}
		}
	})
}

// request makes an HTTP request.
func request(t *testing.T, web *transport.HTTP, method, path string, body m) (int, m) {
	b, _ := json.Marshal(body)
	r := httptest.NewRequest(method, path, bytes.NewReader(b)).WithContext(t.Context())
	w := httptest.NewRecorder()
	web.ServeHTTP(w, r)
	reply, _ := io.ReadAll(w.Body)
	o := m{}
	_ = json.Unmarshal(reply, &o)
	return w.Code, o
}

// id is the id that create and attach return.
func id(o m) string { return strconv.FormatFloat(o["data"].(m)["id"].(float64), 'f', -1, 64) }

// TestBalancerGoesOn kills the node that owns an HTTP client's session. There is no connection whose end would tell the client:
// its next request is served by whichever node it reaches.
func TestBalancerGoesOn(t *testing.T) {
	for _, how := range []string{http.MethodPost, http.MethodGet} {
		synctest.Test(t, func(t *testing.T) {
			d := deploy(t, "a", "b", "c")
			var web []*transport.HTTP
			for _, x := range d.nodes {
				web = append(web, transport.NewHTTP(transport.HTTPConfig{Server: x.server}))
			}
			_, o := request(t, web[0], http.MethodPost, "/janus", m{"janus": "create", "transaction": "1"})
			session := "/janus/" + id(o)
			_, o = request(t, web[1], http.MethodPost, session, m{"janus": "attach", "plugin": echotest.Package, "transaction": "2"})
			handle := session + "/" + id(o)
			request(t, web[1], http.MethodPost, handle, m{"janus": "message", "transaction": "3", "body": m{"audio": true}, "jsep": janustest.Offer("audio")})
			if _, o = request(t, web[2], http.MethodGet, session, nil); o["jsep"] == nil {
				t.Fatalf("no call: %v", o)
			}
			time.Sleep(time.Second)
			d.down("a")
			if how == http.MethodPost {
				if _, o = request(t, web[2], http.MethodPost, session, m{"janus": "keepalive", "transaction": "4"}); o["janus"] != "ack" {
					t.Errorf("keepalive: %v", o)
				}
			}
			peer := d.media.Peers()[0].ID
			d.media.SetStats(peer, plane.PeerStats{State: "connected", DTLSState: "connected"})
			d.media.Up(peer)
			if _, o = request(t, web[1], http.MethodGet, session, nil); o["janus"] != "webrtcup" {
				t.Errorf("poll: %v", o)
			}
		})
	}
}

// TestBalancer has a load balancer send every request of a client to another node, polls too.
func TestBalancer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b", "c")
		d.delay = 40 * time.Millisecond
		var web []*transport.HTTP
		for _, x := range d.nodes {
			web = append(web, transport.NewHTTP(transport.HTTPConfig{Server: x.server}))
		}
		turn := 0
		do := func(method, path string, body m) (int, m) {
			turn++
			return request(t, web[turn%len(web)], method, path, body)
		}
		_, o := do(http.MethodPost, "/janus", m{"janus": "create", "transaction": "1"})
		session := "/janus/" + id(o)
		_, o = do(http.MethodPost, session, m{"janus": "attach", "plugin": echotest.Package, "transaction": "2"})
		handle := session + "/" + id(o)
		for i := range 6 {
			if _, o = do(http.MethodPost, handle, m{"janus": "message", "body": m{"audio": true}, "transaction": fmt.Sprint(i)}); o["janus"] != "ack" {
				t.Fatalf("message: %v", o)
			}
			if _, o = do(http.MethodGet, session, nil); o["janus"] != "event" || o["transaction"] != fmt.Sprint(i) {
				t.Errorf("poll: %v", o)
			}
		}
		start := time.Now()
		if _, o = do(http.MethodGet, session, nil); o["janus"] != "keepalive" || time.Since(start) > 31*time.Second {
			t.Errorf("an empty poll: %v after %v", o, time.Since(start))
		}
		if code, _ := do(http.MethodGet, "/janus/12345", nil); code != http.StatusNotFound {
			t.Errorf("a session that is none: %d", code)
		}
	})
}

// TestAdopted kills a signaling node: the client claims its session at another one and media goes on. Then the dead one
// comes back.
func TestAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b", "c")
		d.delay = 20 * time.Millisecond
		old := janustest.Open(t, d.nodes[0].server, echotest.Package)
		idle := old.Attach(echotest.Package)
		fixed := old.Attach("stubborn")
		if r := idle.Message(m{"bitrate": 123456}, nil); janustest.Data(r)["result"] != "ok" {
			t.Fatal(r)
		}
		id := d.dial(old)
		before, _ := d.media.Peer(id)
		d.down("a")

		c := janustest.Connect(t, d.nodes[1].server).Resume(old.Session())
		start := time.Now()
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("claiming took %v", took)
		}
		time.Sleep(time.Second)
		for _, e := range c.Take() {
			if e["janus"] != "detached" || e["sender"] != fixed.ID {
				t.Errorf("after the claim came %v", e)
			}
		}
		peer, _ := d.media.Peer(id)
		if peer.Closed || len(peer.Sessions) != len(before.Sessions) || len(peer.Publications) != 2 || len(peer.Subscriptions) != 2 {
			t.Errorf("the peer is %+v", peer)
		}
		h := c.Handle(old.ID)
		if r := h.Message(m{"audio": false}, nil); janustest.Data(r)["result"] != "ok" {
			t.Errorf("message: %v", r)
		}
		if peer, _ = d.media.Peer(id); !peer.Subscriptions[0].Paused {
			t.Error("the message did not reach the peer")
		}
		if r := h.Message(m{"video": true}, janustest.Offer("audio", "video")); r["jsep"] == nil {
			t.Errorf("renegotiation: %v", r)
		}
		if again, _ := d.media.Peer(id); again.Session.Version != before.Session.Version+1 || again.Session.Lines[0].SSRC != before.Session.Lines[0].SSRC {
			t.Errorf("renegotiated to version %d", again.Session.Version)
		}
		if r := c.Handle(idle.ID).Message(m{"audio": true}, nil); janustest.Data(r)["result"] != "ok" {
			t.Errorf("the handle without media: %v", r)
		}
		if r := c.Handle(fixed.ID).Request(m{"janus": "message", "body": m{}}); r["janus"] != "error" {
			t.Errorf("a handle that cannot move moved: %v", r)
		}

		d.set(func() { d.cut["a"] = false })
		for range 4 {
			time.Sleep(announceTime / 2)
			if r := c.Request(m{"janus": "keepalive"}); r["janus"] != "ack" {
				t.Errorf("keepalive: %v", r)
			}
		}
		if peer, _ = d.media.Peer(id); peer.Closed {
			t.Fatal("the old owner closed the peer")
		}
	})
}

// TestAdoptedLater kills the adopter, too, and lets the session be used through the first owner's node then.
func TestAdoptedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b", "c")
		old := janustest.Open(t, d.nodes[0].server, echotest.Package)
		id := d.dial(old)
		d.down("a")
		second := janustest.Connect(t, d.nodes[1].server).Resume(old.Session())
		if r := second.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		second.Handle(old.ID).Message(m{"bitrate": 5}, nil)
		time.Sleep(time.Second)
		d.set(func() { d.cut["a"] = false })
		time.Sleep(2 * time.Second)
		d.down("b")
		third := janustest.Connect(t, d.nodes[2].server).Resume(old.Session())
		if r := third.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		d.media.Down(id, "ICE failed")
		third.Handle(old.ID).EventOf("hangup")
		// The first owner may still think that it is the owner: it must not answer for the session.
		time.Sleep(2 * time.Second)
		if len(second.Inbox()) != 0 {
			t.Errorf("the second owner's client got %v", second.Inbox())
		}
	})
}

// TestStopped stops a signaling process on purpose: clients claim their sessions elsewhere, with the latest state.
func TestStopped(t *testing.T) {
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { testStopped(t, whole) })
	}
}

// testStopped stops the whole process, or only the API's server, as at the beginning of a process's end.
func testStopped(t *testing.T, whole bool) {
	d := deploy(t, "b", "c")
	a := d.add("a", true)
	d.members("a", "b", "c")
	old := janustest.Open(t, a.server, echotest.Package)
	id := d.dial(old)
	old.Message(m{"bitrate": 77}, nil) // right before the end
	if whole {
		a.stop()
		d.down("a")
	} else {
		a.stopServer()
	}
	c := janustest.Connect(t, d.nodes[0].server).Resume(old.Session())
	if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
		t.Fatalf("claim: %v", r)
	}
	peer, _ := d.media.Peer(id)
	if peer.Closed || peer.Publications[1].Bitrate != 77 {
		t.Errorf("the peer is %+v", peer.Publications)
	}
	if l := old.Inbox(); len(l) != 0 {
		t.Errorf("the old connection was told %v", l)
	}
	// A new process at the old node serves it like any other.
	a.stop()
	d.set(func() { d.cut["a"] = false })
	a = d.add("a", true)
	d.members("a", "b", "c")
	time.Sleep(time.Second)
	r := janustest.Connect(t, a.server).Resume(old.Session()).Handle(old.ID).Request(m{"janus": "message", "body": m{"bitrate": 5}})
	if r["janus"] != "ack" {
		t.Errorf("through the new process: %v", r)
	}
}

// TestRestarted has a signaling process come back at the same node, where the client claims its session.
func TestRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b", "c")
		old := janustest.Open(t, d.nodes[0].server, echotest.Package)
		id := d.dial(old)
		d.down("a")
		d.set(func() { d.cut["a"] = false })
		again := d.add("a", false)
		d.members("a", "b", "c")
		c := janustest.Connect(t, again.server).Resume(old.Session())
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		d.media.Down(id, "DTLS alert")
		c.Handle(old.ID).EventOf("hangup")
	})
}

// TestPeerGone has the peer end while nobody owned the session: the client is told after its claim.
func TestPeerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b")
		old := janustest.Open(t, d.nodes[0].server, echotest.Package)
		other := old.Attach(echotest.Package)
		gone := d.dial(old)
		d.dial(other)
		d.down("a")
		d.media.SetStats(gone, plane.PeerStats{State: "closed"})
		c := janustest.Connect(t, d.nodes[1].server).Resume(old.Session())
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		h := c.Handle(old.ID)
		h.EventOf("hangup")
		d.dial(h) // it can be used again
	})
}

// TestNothingKept claims a session that had no media when its node died.
func TestNothingKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b")
		old := janustest.Open(t, d.nodes[0].server, echotest.Package)
		time.Sleep(time.Second)
		d.down("a")
		c := janustest.Connect(t, d.nodes[1].server).Resume(old.Session())
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "error" || r["error"].(m)["code"] != json.Number("458") {
			t.Errorf("claim: %v", r)
		}
		if r := c.Request(m{"janus": "keepalive"}); r["janus"] != "error" {
			t.Errorf("keepalive: %v", r)
		}
	})
}

// TestOwnerAway wants the connection of a client to be cut when its session's node is lost, so that it claims.
func TestOwnerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b")
		old := janustest.Open(t, d.nodes[0].server, echotest.Package)
		d.dial(old)
		c := janustest.Connect(t, d.nodes[1].server).Resume(old.Session())
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		d.down("a")
		if !c.Cut() {
			t.Error("not cut")
		}
		c.Close()
		c = janustest.Connect(t, d.nodes[1].server).Resume(old.Session())
		c.Send(m{"janus": "keepalive"})
		synctest.Wait()
		time.Sleep(6 * time.Second)
		if !c.Cut() {
			t.Errorf("not cut, but told %v", c.Inbox())
		}
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
	})
}

// TestYielded drains a node: its connections are closed in good order, its clients claim their sessions at another node, which has
// them from then on, and get every event; media goes on.
func TestYielded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b", "c")
		d.delay = 20 * time.Millisecond
		old := janustest.Open(t, d.nodes[0].server, echotest.Package)
		id := d.dial(old)
		begun := time.Now()
		d.nodes[0].server.Drain(true)
		if n := d.nodes[0].server.Departing(begun); n != 1 {
			t.Fatalf("%d connections to close", n)
		}
		d.nodes[0].server.Depart(begun, 5)
		if !old.Cut() || d.nodes[0].server.Departing(begun) != 0 {
			t.Fatal("the connection is not closed")
		}
		d.media.Emit(plane.Event{Peer: id, Type: plane.EventSlowLink, Mid: "0", Kind: plane.Audio, Lost: 9})
		time.Sleep(time.Second)

		c := janustest.Connect(t, d.nodes[1].server).Resume(old.Session())
		if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
			t.Fatalf("claim: %v", r)
		}
		h := c.Handle(old.ID)
		if e := h.EventOf("slowlink"); e["lost"] != json.Number("9") {
			t.Errorf("slowlink: %v", e)
		}
		if here, there := d.nodes[0].server.Metrics(), d.nodes[1].server.Metrics(); here.Sessions.Load() != 0 || here.Peers.Load() != 0 ||
			here.SessionsYielded.Load() != 1 || there.Sessions.Load() != 1 || there.Peers.Load() != 1 {
			t.Errorf("at the old node %d sessions and %d peers, at the new one %d and %d",
				here.Sessions.Load(), here.Peers.Load(), there.Sessions.Load(), there.Peers.Load())
		}
		if r := h.Message(m{"bitrate": 77}, nil); janustest.Data(r)["result"] != "ok" {
			t.Errorf("message: %v", r)
		}
		if peer, _ := d.media.Peer(id); peer.Closed || peer.Publications[1].Bitrate != 77 {
			t.Errorf("the peer is %+v", peer)
		}
		for range 4 { // the old node has nothing to say of it
			time.Sleep(announceTime / 2)
			if r := c.Request(m{"janus": "keepalive"}); r["janus"] != "ack" {
				t.Errorf("keepalive: %v", r)
			}
		}
		// At the node that drains a claim is as ever, and a session without media stays there: nothing is kept of it.
		bare := janustest.Connect(t, d.nodes[0].server).Create()
		for _, x := range d.nodes[:2] {
			if r := janustest.Connect(t, x.server).Resume(bare.Session()).Request(m{"janus": "claim"}); r["janus"] != "success" {
				t.Errorf("claim of a session without media: %v", r)
			}
		}
		if n := d.nodes[0].server.Metrics().SessionsYielded.Load(); n != 1 {
			t.Errorf("%d sessions were yielded", n)
		}
		d.down("a") // the connection has nothing there any more
		if r := c.Request(m{"janus": "keepalive"}); r["janus"] != "ack" || c.Cut() {
			t.Errorf("after the end of the node: %v, cut: %v", r, c.Cut())
		}
	})
}

// TestYieldedPolling has a client that polls claim its session at another node than the one that drains.
func TestYieldedPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deploy(t, "a", "b")
		var web []*transport.HTTP
		for _, x := range d.nodes {
			web = append(web, transport.NewHTTP(transport.HTTPConfig{Server: x.server}))
		}
		_, o := request(t, web[0], http.MethodPost, "/janus", m{"janus": "create", "transaction": "1"})
		session := "/janus/" + id(o)
		_, o = request(t, web[0], http.MethodPost, session, m{"janus": "attach", "plugin": echotest.Package, "transaction": "2"})
		handle := session + "/" + id(o)
		request(t, web[0], http.MethodPost, handle, m{"janus": "message", "transaction": "3", "body": m{"audio": true}, "jsep": janustest.Offer("audio")})
		d.nodes[0].server.Drain(true)
		time.Sleep(time.Second)
		// An event waits: the session stays until it was fetched.
		for _, want := range []uint64{0, 1} {
			if _, o = request(t, web[1], http.MethodPost, session, m{"janus": "claim", "transaction": "4"}); o["janus"] != "success" {
				t.Fatalf("claim: %v", o)
			}
			if n := d.nodes[0].server.Metrics().SessionsYielded.Load(); n != want {
				t.Errorf("%d sessions were yielded, not %d", n, want)
			}
			if want == 0 {
				if _, o = request(t, web[1], http.MethodGet, session, nil); o["jsep"] == nil {
					t.Fatalf("no call: %v", o)
				}
			}
		}
		peer := d.media.Peers()[0].ID
		d.media.Up(peer)
		if _, o = request(t, web[1], http.MethodGet, session, nil); o["janus"] != "webrtcup" {
			t.Errorf("poll: %v", o)
		}
	})
}
