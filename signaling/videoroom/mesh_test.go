package videoroom

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/signaling/janus/janustest"
)

// TestScriptsAcrossNodes runs every script with its clients on several nodes: they must see what they see on one.
func TestScriptsAcrossNodes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	// Which node the first client is on, the second, and so on; then from the beginning.
	for _, layout := range [][]int{{0}, {0, 1}, {1, 0, 2}, {0, 1, 1, 0}} {
		for _, f := range files {
			t.Run(fmt.Sprint(layout, " ", strings.TrimSuffix(filepath.Base(f), ".txt")), func(t *testing.T) {
				cfg, told := scriptConfig(filepath.Base(f)), listen(t)
				cfg.Events = told.bus
				c := newCluster(t, 3, cfg)
				c.slow(time.Duration(len(layout)/4) * time.Millisecond)
				s := &script{t: t, shared: true, seen: map[code]bool{}, told: told, settle: c.settle, open: func(client int) scriptNode {
					n := c.nodes[layout[client%len(layout)]]
					return scriptNode{n.server, n.plane}
				}}
				s.run(f)
			})
		}
	}
}

// meshStage is a cluster with room 1.
type meshStage struct {
	*cluster
	*testing.T
}

func newMeshStage(t *testing.T, nodes int, room m) *meshStage {
	t.Helper()
	s := &meshStage{newCluster(t, nodes, Config{}), t}
	s.ok(s.client(0), with(room, m{"request": "create", "room": 1}), nil)
	return s
}

// client opens a handle on a node.
func (s *meshStage) client(node int) *janustest.Handle {
	s.Helper()
	return janustest.Open(s, s.nodes[node].server, Package)
}

// ok sends a message that must not be refused.
func (s *meshStage) ok(h *janustest.Handle, body, jsep m) m {
	s.Helper()
	d := janustest.Data(h.Message(body, jsep))
	if d == nil || d["error_code"] != nil {
		s.Fatalf("%v: %v", body, d)
	}
	return d
}

// refused sends a message that must be.
func (s *meshStage) refused(h *janustest.Handle, body, jsep m, code int) {
	s.Helper()
	if d := janustest.Data(h.Message(body, jsep)); d["error_code"] != json.Number(strconv.Itoa(code)) {
		s.Fatalf("%v: %v, want error %d", body, d, code)
	}
}

// join opens a handle on a node and joins the room; id 0 leaves the choice to the server.
func (s *meshStage) join(node, id int, more m) *janustest.Handle {
	s.Helper()
	h := s.client(node)
	s.ok(h, with(more, m{"request": "join", "ptype": "publisher", "room": 1, "id": id}), nil)
	return h
}

// publish does so, and publishes.
func (s *meshStage) publish(node, id int, lines ...string) *janustest.Handle {
	s.Helper()
	h := s.client(node)
	s.ok(h, m{"request": "joinandconfigure", "ptype": "publisher", "room": 1, "id": id}, janustest.Offer(lines...))
	s.up(node, h)
	return h
}

// up says that the media plane of a node has the handle's PeerConnection up.
func (s *meshStage) up(node int, h *janustest.Handle) {
	s.Helper()
	prefix := fmt.Sprintf("node/%s/%s/", h.Session(), h.ID)
	for _, p := range s.nodes[node].plane.Peers() {
		if strings.HasPrefix(string(p.ID), prefix) {
			s.nodes[node].plane.Up(p.ID)
		}
	}
	h.EventOf("webrtcup")
	s.settle()
}

// participants are the ids that a node's clients see.
func (s *meshStage) participants(node int) string {
	s.Helper()
	var ids []string
	for _, p := range s.ok(s.client(node), m{"request": "listparticipants", "room": 1}, nil)["participants"].([]any) {
		ids = append(ids, fmt.Sprint(p.(m)["id"]))
	}
	return strings.Join(ids, " ")
}

// events are the events that a client has got, in short: "joining 5".
func (s *meshStage) events(h *janustest.Handle) string {
	s.Helper()
	s.settle()
	h.Message(m{"request": "exists", "room": 1}, nil) // in its turn, after all that was pushed
	var got []string
	for _, e := range h.Take() {
		if d := janustest.Data(e); d != nil {
			got = append(got, brief(d)...)
		} else {
			got = append(got, fmt.Sprint(e["janus"]))
		}
	}
	return strings.Join(got, ", ")
}

// brief is an event in short.
func brief(d m) (got []string) {
	for _, k := range []string{"joining", "publishers", "unpublished", "leaving", "kicked", "moderation", "error_code"} {
		v := d[k]
		if o, ok := v.(m); ok {
			v = o["id"]
		}
		if l, ok := v.([]any); ok {
			v = l[0].(m)["id"]
		}
		if v != nil {
			got = append(got, fmt.Sprint(k, " ", v))
		}
	}
	if v := d["videoroom"]; v != "event" {
		got = append(got, fmt.Sprint(v))
	}
	if len(got) == 0 {
		got = append(got, fmt.Sprint("id ", d["id"]))
	}
	return got
}

func (s *meshStage) saw(h *janustest.Handle, want string) {
	s.Helper()
	if got := s.events(h); got != want {
		s.Errorf("got %q, want %q", got, want)
	}
}

// Two parts of the mesh were apart, and the same id was chosen in both.
func TestPartitionAndMerge(t *testing.T) {
	s := newMeshStage(t, 2, m{"notify_joining": true})
	anna, bert := s.join(0, 7, nil), s.join(1, 8, nil)
	s.settle()
	anna.Take()
	s.split(s.nodes[1])
	s.saw(anna, "unpublished 8, unpublished 8, leaving 8")
	s.saw(bert, "unpublished 7, unpublished 7, leaving 7")
	first := s.publish(0, 5, "audio")
	second := s.publish(1, 5, "audio")
	viewer := s.client(1)
	s.ok(viewer, m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 5}, nil)
	viewer.Take()
	s.saw(anna, "joining 5, publishers 5")
	s.saw(bert, "joining 5, publishers 5")
	s.cluster.join(s.nodes[1])
	s.saw(anna, "joining 8")
	s.saw(first, "joining 8")
	if e := second.Event(); janustest.Data(e)["reason"] != "kicked" {
		t.Errorf("the younger one: %v", e)
	}
	second.EventOf("hangup")
	s.saw(bert, "kicked 5, joining 7, joining 5, publishers 5")
	for n := range 2 {
		if got := s.participants(n); got != "7 8 5" {
			t.Errorf("node %d: %s", n, got)
		}
	}
	s.refused(second, m{"request": "configure"}, nil, 426)
	s.ok(second, m{"request": "exists", "room": 1}, nil) // the session goes on
	if got := s.ok(s.client(1), m{"request": "listparticipants", "room": 1}, nil); len(got["participants"].([]any)) != 3 {
		t.Errorf("%v", got)
	}
}

// A node that vanishes takes its participants along.
func TestNodeGone(t *testing.T) {
	s := newMeshStage(t, 3, m{})
	anna := s.join(0, 7, nil)
	s.publish(1, 8, "audio", "video")
	viewer := s.client(2)
	attached := viewer.Message(m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 8}, nil)
	s.ok(viewer, m{"request": "start"}, janustest.Answer(attached["jsep"].(m)["sdp"].(string)))
	anna.Take()
	s.kill(s.nodes[1])
	s.saw(anna, "unpublished 8, unpublished 8, leaving 8")
	s.saw(viewer, "updated")
	s.refused(s.client(0), m{"request": "kick", "room": 1, "id": 8}, nil, 428)
	if got := s.participants(2); got != "7" {
		t.Errorf("left: %s", got)
	}
}

func TestDestroyedElsewhere(t *testing.T) {
	s := newMeshStage(t, 3, m{"secret": "s"})
	anna, bert := s.publish(0, 7, "audio"), s.join(1, 8, nil)
	viewer := s.client(1)
	s.ok(viewer, m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 7}, nil)
	other := s.client(2)
	s.ok(other, m{"request": "rtp_forward", "room": 1, "secret": "s", "publisher_id": 7, "host": "127.0.0.1", "streams": []any{m{"mid": "0", "port": 1000}}}, nil)
	if f := s.nodes[2].plane.Forwarders(); len(f) != 1 {
		t.Fatalf("forwarders: %v", f)
	}
	anna.Take()
	s.refused(other, m{"request": "destroy", "room": 1}, nil, 429)
	s.refused(other, m{"request": "destroy", "room": 1, "secret": "x"}, nil, 433)
	s.ok(other, m{"request": "destroy", "room": 1, "secret": "s"}, nil)
	s.saw(bert, "destroyed")
	if e := viewer.EventOf("hangup"); e["reason"] != "Close PC" {
		t.Error(e)
	}
	anna.EventOf("hangup")
	s.refused(anna, m{"request": "configure"}, nil, 426)
	s.refused(other, m{"request": "listparticipants", "room": 1}, nil, 426)
	if f := s.nodes[2].plane.Forwarders(); len(f) != 0 {
		t.Errorf("forwarders are left: %v", f)
	}
	for i, n := range s.nodes {
		if got := n.plugin.RoomCount(); got != 0 {
			t.Errorf("node %d holds %d rooms", i, got)
		}
	}
	// Another room of that id has nothing to do with it.
	s.ok(other, m{"request": "create", "room": 1}, nil)
	s.join(0, 7, nil)
	s.settle()
	if got := s.participants(1); got != "7" {
		t.Error(got)
	}
}

// What is changed on one node holds on all.
func TestOptionsHoldEverywhere(t *testing.T) {
	s := newMeshStage(t, 3, m{"secret": "s", "audiolevel_event": true})
	anna := s.publish(1, 7, "video")
	s.ok(s.client(2), m{"request": "edit", "room": 1, "secret": "s", "new_secret": "t", "new_pin": "p", "new_bitrate": 300000, "new_publishers": 1}, nil)
	s.settle()
	join := m{"request": "join", "ptype": "publisher", "room": 1}
	for n := range 3 {
		h := s.client(n)
		s.refused(h, m{"request": "edit", "room": 1, "secret": "s"}, nil, 433)
		s.refused(h, join, nil, 429)
		s.refused(h, with(join, m{"pin": "x"}), nil, 433)
		s.refused(h, with(join, m{"pin": "p", "id": 7}), nil, 436)
		s.refused(h, m{"request": "create", "room": 1}, nil, 427)
		s.ok(h, with(join, m{"pin": "p"}), nil)
		s.refused(h, m{"request": "publish"}, janustest.Offer("audio"), 432)
	}
	s.ok(s.client(0), m{"request": "allowed", "room": 1, "secret": "t", "action": "enable", "allowed": []any{}}, nil)
	s.ok(s.client(0), m{"request": "allowed", "room": 1, "secret": "t", "action": "add", "allowed": []any{"k"}}, nil)
	s.settle()
	s.refused(s.client(2), with(join, m{"pin": "p", "token": "x"}), nil, 433)
	s.ok(s.client(2), with(join, m{"pin": "p", "token": "k"}), nil)
	s.settle()
	list := s.ok(s.client(0), m{"request": "list"}, nil)["list"].([]any)
	if n := list[0].(m)["num_participants"]; len(list) != 1 || n != json.Number("5") {
		t.Errorf("%d rooms, %v participants", len(list), n)
	}
	var capped uint32
	for _, p := range s.nodes[1].plane.Peers() {
		for _, pub := range p.Publications {
			capped = pub.Bitrate
		}
	}
	_ = anna
	if capped != 0 {
		t.Errorf("an edit without bitrate_cap changes a publisher's bitrate to %d", capped)
	}
}

// Two nodes admit a publisher each for the last seat. The one that began later gives way, after a moment.
func TestLastSeatTakenTwice(t *testing.T) {
	s := newMeshStage(t, 2, m{"publishers": 1})
	first, second := s.join(0, 7, nil), s.join(1, 8, nil)
	s.settle()
	s.slow(50 * time.Millisecond)
	s.ok(first, m{"request": "publish"}, janustest.Offer("audio"))
	s.ok(second, m{"request": "publish"}, janustest.Offer("audio"))
	e := second.Event()
	if d := janustest.Data(e); d["error_code"] != json.Number("432") {
		t.Errorf("the second one: %v", e)
	}
	second.EventOf("hangup")
	s.settle()
	s.slow(0)
	s.up(0, first)
	if got := s.events(second); got != "unpublished 7, publishers 7" && got != "publishers 7" {
		t.Error(got)
	}
	s.refused(second, m{"request": "publish"}, janustest.Offer("audio"), 432)
	s.ok(first, m{"request": "unpublish"}, nil)
	s.settle()
	s.ok(second, m{"request": "publish"}, janustest.Offer("audio"))
}

// A node that waits for others makes nobody else wait, and two who want the same room wait together.
func TestSlowMesh(t *testing.T) {
	s := newMeshStage(t, 2, m{})
	s.ok(s.client(0), m{"request": "create", "room": 2}, nil)
	near := s.client(0)
	s.ok(near, m{"request": "join", "ptype": "publisher", "room": 2}, nil)
	far := []*janustest.Handle{s.client(0), s.client(0)}
	opens := s.opens
	s.slow(time.Second)
	for _, h := range far {
		h.Send(m{"janus": "message", "handle_id": h.ID, "body": m{"request": "join", "ptype": "publisher", "room": 1}})
	}
	for range 20 {
		s.ok(near, m{"request": "configure", "display": "x"}, nil)
		s.ok(near, m{"request": "listparticipants", "room": 2}, nil)
	}
	for _, h := range far {
		if got := h.Inbox(); slices.ContainsFunc(got, func(e m) bool { return janustest.Data(e) != nil }) {
			t.Errorf("another room waited until there was %v", got)
		}
	}
	for _, h := range far { // they get in at the same time
		e := h.Await(func(e m) bool { return janustest.Data(e) != nil })
		if janustest.Data(e)["videoroom"] != "joined" {
			t.Error(e)
		}
	}
	if s.opens != opens+1 {
		t.Errorf("the room was opened %d times", s.opens-opens)
	}
	// A mesh that does not answer at all is an error after a while, not a missing room.
	s.slow(unreachable)
	s.refused(s.client(1), m{"request": "join", "ptype": "publisher", "room": 1}, nil, 499)
	s.slow(0)
	s.join(1, 0, nil)
}

// A room is let go of when nobody here has to do with it, and opened again when somebody has.
func TestIdleRoomsAreLetGo(t *testing.T) {
	s := newMeshStage(t, 2, m{})
	anna := s.join(1, 7, nil)
	look := func(node, want int) {
		t.Helper()
		p := s.nodes[node].plugin
		for _, r := range p.all() {
			r.look()
			r.look()
		}
		if got := p.RoomCount(); got != want {
			t.Errorf("node %d holds %d rooms, want %d", node, got, want)
		}
	}
	viewer := s.client(0)
	s.ok(viewer, m{"request": "listparticipants", "room": 1}, nil)
	r := s.nodes[0].plugin.find(numberID(1))
	r.look()
	s.ok(viewer, m{"request": "listparticipants", "room": 1}, nil)
	r.look() // a request came in between
	look(1, 1)
	look(0, 0)
	// What the mesh still says to the room that was closed is for nobody.
	r.held.inbox.watcher().Present("9", []byte(`{"version":1,"joined":1}`))
	r.held.inbox.watcher().Destroyed()
	r.end(t.Context())
	if got := s.participants(0); got != "7" {
		t.Error(got)
	}
	bert := s.join(0, 8, nil)
	s.settle() // or nobody hears of so short a stay
	look(0, 1)
	s.ok(bert, m{"request": "leave"}, nil)
	look(0, 0)
	s.saw(anna, "leaving 8")
	s.ok(anna, m{"request": "leave"}, nil)
	look(1, 0)
}

// Somebody who left but still sends makes way for another of the same id on another node.
func TestDepartedMakesWayAcrossNodes(t *testing.T) {
	s := newMeshStage(t, 2, m{})
	anna := s.publish(0, 7, "audio")
	viewer := s.client(1)
	attached := viewer.Message(m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 7}, nil)
	s.ok(viewer, m{"request": "start"}, janustest.Answer(attached["jsep"].(m)["sdp"].(string)))
	s.ok(viewer, m{"request": "configure"}, nil)
	viewer.Take()
	watcher := s.join(1, 9, nil)
	s.ok(anna, m{"request": "leave"}, nil)
	s.saw(watcher, "leaving 7")
	if p := s.nodes[1].plane.Peers(); len(p[0].Subscriptions) != 1 {
		t.Errorf("the subscription ended with the stay in the room: %v", p)
	}
	s.saw(viewer, "")
	s.publish(1, 7, "audio")
	if e := anna.EventOf("hangup"); e["reason"] != "Close PC" {
		t.Errorf("hangup: %v", e)
	}
	s.saw(viewer, "updated")
	s.saw(watcher, "publishers 7")
	if got := s.participants(0); got != "9 7" {
		t.Error(got)
	}
}

// A participant whose node does not answer is not moderated, and the client is told so.
func TestModerationNeedsTheHome(t *testing.T) {
	s := newMeshStage(t, 2, m{})
	s.publish(1, 7, "audio")
	anna := s.join(0, 9, nil)
	s.slow(unreachable)
	s.refused(anna, m{"request": "moderate", "room": 1, "id": 7, "mid": "0", "mute": true}, nil, 499)
	s.slow(0)
	s.ok(anna, m{"request": "moderate", "room": 1, "id": 7, "mid": "0", "mute": true}, nil)
	s.saw(anna, "moderation muted")
	s.refused(anna, m{"request": "moderate", "room": 1, "id": 7, "mid": "5", "mute": true}, nil, 428)
	s.refused(anna, m{"request": "kick", "room": 1, "id": 5}, nil, 428)
}

// A forwarder of a publisher on another node runs where it was asked for, is known everywhere, and can be stopped anywhere.
func TestForwardersAcrossNodes(t *testing.T) {
	s := newMeshStage(t, 3, m{})
	anna := s.publish(0, 7, "audio", "video")
	h := s.client(1)
	forward := m{"request": "rtp_forward", "room": 1, "publisher_id": 7, "host": "127.0.0.1", "streams": []any{m{"mid": "0", "port": 1000}, m{"mid": "1", "port": 1002}}}
	s.ok(h, forward, nil)
	running := func() (n []int) {
		for _, nd := range s.nodes {
			n = append(n, len(nd.plane.Forwarders()))
		}
		return n
	}
	if got := fmt.Sprint(running()); got != "[0 2 0]" {
		t.Errorf("they run on %s", got)
	}
	s.settle()
	var ids []any
	for n := range 3 {
		list := s.ok(s.client(n), m{"request": "listforwarders", "room": 1}, nil)["publishers"].([]any)
		if len(list) != 1 || len(list[0].(m)["forwarders"].([]any)) != 2 {
			t.Fatalf("node %d knows %v", n, list)
		}
		ids = nil
		for _, f := range list[0].(m)["forwarders"].([]any) {
			ids = append(ids, f.(m)["stream_id"])
		}
	}
	s.ok(s.client(2), m{"request": "stop_rtp_forward", "room": 1, "publisher_id": 7, "stream_id": ids[0]}, nil)
	s.refused(s.client(2), m{"request": "stop_rtp_forward", "room": 1, "publisher_id": 7, "stream_id": ids[0]}, nil, 428)
	s.settle()
	if got := fmt.Sprint(running()); got != "[0 1 0]" {
		t.Errorf("one was stopped, they run on %s", got)
	}
	s.ok(anna, m{"request": "unpublish"}, nil)
	s.settle()
	if got := fmt.Sprint(running()); got != "[0 0 0]" {
		t.Errorf("nothing is published, they run on %s", got)
	}
	s.slow(unreachable)
	s.refused(h, forward, nil, 499)
	s.slow(0)
	if got := fmt.Sprint(running()); got != "[0 0 0]" {
		t.Errorf("refused, they run on %s", got)
	}
}

// Many clients do everything at once on three nodes. Afterwards all nodes agree, and when all have gone nothing is left.
func TestCrowdAcrossNodes(t *testing.T) {
	s := newMeshStage(t, 3, m{"publishers": 100, "notify_joining": true, "audiolevel_event": true})
	s.slow(time.Millisecond)
	var crowd sync.WaitGroup
	for w := range 6 {
		crowd.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 2))
			n := s.nodes[w%3]
			for range 12 {
				visit(n.plane, janustest.Connect(t, n.server).Create(), random)
			}
		})
	}
	crowd.Wait()
	s.slow(0)
	stay := s.publish(0, 7, "audio")
	for i, n := range s.nodes {
		if got := n.server.Metrics().Panics.Load(); got != 0 {
			t.Errorf("node %d: %d panics", i, got)
		}
		s.eventually(func() string {
			s.settle()
			return cmp.Diff("7", s.participants(i))
		})
		r := n.plugin.find(numberID(1))
		checkRoom(t, r)
		s.eventually(func() string {
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.members) != 1 || len(r.subscribers)+len(r.departed)+len(r.held.claims)+r.held.users > 0 {
				return fmt.Sprintf("node %d: %d members, %d subscribers, %d departed, %d claims, %d users", i, len(r.members), len(r.subscribers), len(r.departed),
					len(r.held.claims), r.held.users)
			}
			return ""
		})
	}
	s.ok(stay, m{"request": "exists", "room": 1}, nil)
}

// eventually waits until f agrees.
func (s *meshStage) eventually(f func() string) {
	s.Helper()
	(&stage{T: s.T}).eventually(f)
}
