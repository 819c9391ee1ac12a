package videoroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

// moveStage is a cluster whose nodes have one media plane that outlives them, and whose sessions can be claimed at any node.
type moveStage struct {
	*meshStage
	media *janustest.Plane
	dead  map[int]bool

	mu     sync.Mutex
	owners map[uint64]*node
	epochs map[uint64]uint64
}

// sessions is what a node knows of the sessions of others.
type sessions struct {
	stage *moveStage
	node  *node
}

var (
	_          janus.Mesh = sessions{}
	errNowhere            = errors.New("no answer")
)

func (m sessions) Own(_ context.Context, session uint64, _ bool) bool {
	m.stage.mu.Lock()
	defer m.stage.mu.Unlock()
	m.stage.owners[session] = m.node
	return true
}

func (sessions) Disown(uint64) {}

func (sessions) Release(uint64) {}

func (sessions) Call(context.Context, uint64, string, string, []byte) ([]byte, bool, error) {
	return nil, true, errNowhere
}

func (sessions) Poll(context.Context, uint64, int) ([][]byte, bool, error) {
	return nil, true, errNowhere
}
func (sessions) Connect(string, string, func([]byte), func()) uint64 { return 1 }

func (sessions) Send(context.Context, uint64, uint64, []byte, func([]byte)) (bool, error) {
	return false, errNowhere
}
func (sessions) Hang(uint64) {}

func (m sessions) Take(_ context.Context, session uint64) uint64 {
	m.stage.mu.Lock()
	was := m.stage.owners[session]
	m.stage.owners[session] = m.node
	m.stage.epochs[session]++
	epoch := m.stage.epochs[session]
	dead := was == nil || m.stage.dead[was.number]
	m.stage.mu.Unlock()
	if !dead {
		was.server.Lost(session)
	}
	return epoch
}

// moving runs a test on such a cluster with room 1.
func moving(t *testing.T, nodes int, room m, test func(t *testing.T, s *moveStage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &moveStage{media: &janustest.Plane{}, dead: map[int]bool{}, owners: map[uint64]*node{}, epochs: map[uint64]uint64{}}
		c := newClusterOf(t, nodes, Config{}, func(n *node, c *janus.Config) {
			c.Plane, c.Mesh = s.media, sessions{s, n}
		})
		s.meshStage = &meshStage{c, t}
		s.ok(s.client(0), with(room, m{"request": "create", "room": 1}), nil)
		test(t, s)
		for i, n := range s.nodes {
			if got := n.server.Metrics().Panics.Load(); got != 0 {
				t.Errorf("node %d: %d panics", i, got)
			}
			for _, r := range n.plugin.all() {
				checkRoom(t, r)
			}
		}
	})
}

// keep waits until what is to be known of sessions elsewhere is kept.
func (s *moveStage) keep() { time.Sleep(time.Second) }

// crash ends a node's process for the others: its roster entries go, and it says nothing any more.
func (s *moveStage) crash(node int) {
	s.keep()
	s.mu.Lock()
	s.dead[node] = true
	s.mu.Unlock()
	s.kill(s.nodes[node])
}

// claim has a handle's client come back at a node.
func (s *moveStage) claim(h *janustest.Handle, node int) *janustest.Handle {
	s.Helper()
	c := janustest.Connect(s, s.nodes[node].server).Resume(h.Session())
	if r := c.Request(m{"janus": "claim"}); r["janus"] != "success" {
		s.Fatalf("claim: %v", r)
	}
	s.settle()
	return c.Handle(h.ID)
}

// peer is the handle's peer.
func (s *moveStage) peer(h *janustest.Handle) janustest.Peer {
	s.Helper()
	prefix := fmt.Sprintf("node/%s/%s/", h.Session(), h.ID)
	for _, p := range s.media.Peers() {
		if strings.HasPrefix(string(p.ID), prefix) && !p.Closed {
			return p
		}
	}
	s.Fatalf("handle %s has no peer", h.ID)
	return janustest.Peer{}
}

// watch subscribes on a node and answers the offer.
func (s *moveStage) watch(node int, body m) *janustest.Handle {
	s.Helper()
	h := s.client(node)
	attached := h.Message(with(body, m{"request": "join", "ptype": "subscriber", "room": 1}), nil)
	s.ok(h, m{"request": "start"}, janustest.Answer(attached["jsep"].(m)["sdp"].(string)))
	s.ok(h, m{"request": "exists", "room": 1}, nil) // in its turn, after what the answer came to
	return h
}

// snapshot is what the handle's instance on a node would be kept as.
func (s *moveStage) snapshot(node, id int) *state {
	s.Helper()
	r := s.nodes[node].plugin.find(numberID(1))
	r.mu.Lock()
	p := r.byID[numberID(uint64(id))]
	r.mu.Unlock()
	b, err := p.session.Snapshot()
	if err != nil {
		s.Fatal(err)
	}
	st, err := readState(b)
	if err != nil {
		s.Fatalf("%s: %v", b, err)
	}
	return st
}

// A publisher goes on at another node. If its node lives, nobody else notices.
func TestPublisherMoves(t *testing.T) {
	moving(t, 3, m{"notify_joining": true, "bitrate": 100000}, func(t *testing.T, s *moveStage) {
		home, heir, far := s.join(0, 4, nil), s.join(1, 5, nil), s.join(2, 6, nil)
		anna := s.client(0)
		s.ok(anna, m{
			"request": "joinandconfigure", "ptype": "publisher", "room": 1, "id": 7, "display": "Anna", "metadata": m{"n": 1}, "bitrate": 300000,
			"descriptions": []any{m{"mid": "0", "description": "mic"}},
		}, janustest.Offer("audio", "simulcast", "data"))
		s.up(0, anna)
		s.ok(home, m{"request": "moderate", "room": 1, "id": 7, "mid": "0", "mute": true}, nil)
		s.ok(anna, m{"request": "configure", "video": false}, nil)
		s.ok(home, m{
			"request": "rtp_forward", "room": 1, "publisher_id": 7, "host": "127.0.0.1", "streams": []any{m{
				"mid": "0", "port": 1000, "srtp_suite": 32, "srtp_crypto": "WbTBosdVUZqEb6Htqhn+m3z7wUh4RJVR8nE15GbN",
			}},
		}, nil)
		s.ok(home, m{"request": "publish_remotely", "room": 1, "publisher_id": 7, "remote_id": "x", "host": "127.0.0.1", "port": 2000}, nil)
		s.ok(far, m{"request": "rtp_forward", "room": 1, "publisher_id": 7, "host": "127.0.0.1", "streams": []any{m{"mid": "1", "port": 1002}}}, nil)
		views := []*janustest.Handle{s.watch(0, m{"feed": 7}), s.watch(1, m{"feed": 7}), s.watch(2, m{"feed": 7})}
		s.settle()
		before, published, forwarded := s.snapshot(0, 7), s.peer(anna).Publications, s.media.Forwarders()
		if len(forwarded) != 1+5+1 {
			t.Fatalf("%d forwarders", len(forwarded))
		}
		s.keep()
		others := append(views, home, heir, far)
		for _, h := range others {
			s.events(h)
		}
		anna = s.claim(anna, 1)
		s.keep()
		after := s.snapshot(1, 7)
		if after.Publisher.Entry.Version <= before.Publisher.Entry.Version {
			t.Error("the entry is not newer than what the others know")
		}
		after.Publisher.Entry.Version = before.Publisher.Entry.Version
		if d := cmp.Diff(before, after, cmp.AllowUnexported(forwarderState{})); d != "" {
			t.Errorf("-before +after\n%s", d)
		}
		if d := cmp.Diff(published, s.peer(anna).Publications); d != "" {
			t.Errorf("published: -before +after\n%s", d)
		}
		if d := cmp.Diff(forwarded, s.media.Forwarders()); d != "" {
			t.Errorf("forwarded: -before +after\n%s", d)
		}
		for i, h := range others {
			if got := s.events(h); got != "" {
				t.Errorf("client %d was told %q", i, got)
			}
		}
		for i := range 3 {
			if got := s.participants(i); got != "4 5 6 7" {
				t.Errorf("node %d shows %s", i, got)
			}
		}
		for _, h := range views {
			if subs := s.peer(h).Subscriptions; len(subs) != 3 {
				t.Errorf("%d subscriptions are left", len(subs))
			}
		}
		// It is the same participant at its new node in every way.
		s.ok(home, m{"request": "moderate", "room": 1, "id": 7, "mid": "0", "mute": false}, nil)
		s.saw(far, "moderation unmuted")
		time.Sleep(2 * reclaimTime)
		s.saw(far, "")
		s.ok(anna, m{"request": "unpublish"}, nil)
		anna.EventOf("hangup")
		s.saw(far, "unpublished 7, unpublished 7")
		if left := s.media.Forwarders(); len(left) != 0 {
			t.Errorf("forwarders are left: %v", left)
		}
		s.ok(anna, m{"request": "leave"}, nil)
		s.saw(home, "moderation unmuted, unpublished 7, unpublished 7, leaving 7")
	})
}

// The node of a publisher dies. The others see it leave, which they must within seconds, and join again.
func TestPublisherOutlivesItsNode(t *testing.T) {
	moving(t, 3, m{"notify_joining": true}, func(t *testing.T, s *moveStage) {
		anna, far := s.publish(0, 7, "audio", "data"), s.join(2, 6, nil)
		s.settle()
		s.crash(0)
		s.saw(far, "unpublished 7, unpublished 7, leaving 7")
		anna = s.claim(anna, 1)
		s.saw(far, "joining 7, publishers 7")
		if got := len(s.peer(anna).Publications); got != 2 {
			t.Errorf("%d publications", got)
		}
		s.saw(anna, "")
		bert := s.join(1, 8, nil)
		s.saw(anna, "joining 8")
		s.ok(bert, m{"request": "kick", "room": 1, "id": 7}, nil)
		s.saw(far, "joining 8, kicked 7")
	})
}

// A publisher whose node gave it up is waited for, but not forever.
func TestNobodyTakesOver(t *testing.T) {
	moving(t, 2, m{}, func(t *testing.T, s *moveStage) {
		anna, far := s.publish(0, 7, "audio"), s.join(1, 6, nil)
		home := s.join(0, 5, nil)
		view := s.watch(1, m{"feed": 7})
		s.settle()
		s.events(view)
		id, _ := anna.Session().Int64()
		s.nodes[0].server.Lost(uint64(id))
		s.keep()
		s.saw(far, "")
		s.refused(far, m{"request": "kick", "room": 1, "id": 7}, nil, 499)
		s.refused(s.client(1), m{"request": "join", "ptype": "publisher", "room": 1, "id": 7}, nil, 436)
		time.Sleep(reclaimTime - 2*time.Second)
		s.saw(far, "")
		time.Sleep(2 * time.Second)
		s.saw(far, "unpublished 7, unpublished 7, leaving 7")
		s.saw(home, "unpublished 7, unpublished 7, leaving 7")
		s.saw(view, "updated")
	})
}

// A subscriber goes on at another node, with what it had asked for.
func TestSubscriberMoves(t *testing.T) {
	for name, crash := range map[string]bool{"its node lives": false, "its node is gone": true} {
		t.Run(name, func(t *testing.T) {
			moving(t, 3, m{"dummy_publisher": true, "dummy_streams": []any{m{"codec": "opus"}}}, func(t *testing.T, s *moveStage) {
				s.publish(1, 7, "audio", "simulcast", "data")
				s.publish(2, 8, "video", "data")
				view := s.watch(0, m{"use_msid": true, "streams": []any{
					m{"feed": 7, "mid": "0", "crossrefid": "a"},
					m{"feed": 7, "mid": "1", "substream": 1, "fallback": 500000, "min_delay": 2, "max_delay": 4},
					m{"feed": 7, "mid": "2"},
					m{"feed": 8, "mid": "0"},
					m{"feed": 8, "mid": "1"},
				}})
				s.ok(view, m{"request": "configure", "streams": []any{m{"mid": "3", "send": false}}}, nil)
				s.ok(view, m{"request": "pause"}, nil)
				s.settle()
				before := s.peer(view).Subscriptions
				if len(before) != 5 {
					t.Fatalf("%d subscriptions", len(before))
				}
				s.keep()
				if crash {
					s.crash(0)
				}
				s.events(view)
				view = s.claim(view, 1)
				s.saw(view, "")
				if d := cmp.Diff(before, s.peer(view).Subscriptions); d != "" {
					t.Errorf("-before +after\n%s", d)
				}
				time.Sleep(2 * reclaimTime)
				s.saw(view, "")
				s.ok(view, m{"request": "start"}, nil)
				s.saw(view, "")
				if got := s.peer(view).Subscriptions[0]; got.Paused {
					t.Errorf("%+v", got)
				}
				// A renegotiation goes on where the last one was.
				r := view.Message(m{"request": "unsubscribe", "streams": []any{m{"feed": 7, "mid": "0"}}}, nil)
				if janustest.Data(r)["videoroom"] != "updated" {
					t.Fatal(r)
				}
				s.ok(view, m{"request": "start"}, janustest.Answer(r["jsep"].(m)["sdp"].(string)))
				s.saw(view, "")
				if got := len(s.peer(view).Subscriptions); got != 4 {
					t.Errorf("%d subscriptions", got)
				}
			})
		})
	}
}

// A legacy subscriber and the publisher that it watches were on one node, and the subscriber is the first to come back.
func TestSubscriberWaitsForItsPublisher(t *testing.T) {
	for name, comes := range map[string]int{"here": 1, "elsewhere": 2, "nowhere": -1} {
		t.Run(name, func(t *testing.T) {
			moving(t, 3, m{"require_pvtid": true}, func(t *testing.T, s *moveStage) {
				anna := s.publish(0, 7, "audio", "data")
				bert := s.client(0)
				private := s.ok(bert, m{"request": "join", "ptype": "publisher", "room": 1, "id": 8}, nil)["private_id"]
				view := s.watch(0, m{"feed": 7, "private_id": private})
				before := s.peer(view).Subscriptions
				s.crash(0)
				s.events(view)
				view = s.claim(view, 1)
				s.saw(view, "")
				if d := cmp.Diff(before, s.peer(view).Subscriptions); d != "" {
					t.Errorf("while it waits: -before +after\n%s", d)
				}
				time.Sleep(3 * time.Second)
				if comes < 0 {
					time.Sleep(reclaimTime)
					s.saw(view, "updated")
					if got := len(s.peer(view).Subscriptions); got != 0 {
						t.Errorf("%d subscriptions", got)
					}
					return
				}
				anna = s.claim(anna, comes)
				time.Sleep(2 * reclaimTime)
				s.saw(view, "")
				if d := cmp.Diff(before, s.peer(view).Subscriptions); d != "" {
					t.Errorf("-before +after\n%s", d)
				}
				s.ok(anna, m{"request": "unpublish"}, nil)
				s.saw(view, "updated")
			})
		})
	}
}

// The room of a publisher and of a subscriber is gone when they come back.
func TestRoomGoneMeanwhile(t *testing.T) {
	moving(t, 2, m{}, func(t *testing.T, s *moveStage) {
		anna := s.publish(0, 7, "audio")
		view := s.watch(0, m{"feed": 7})
		s.crash(0)
		s.ok(s.client(1), m{"request": "destroy", "room": 1}, nil)
		anna, view = s.claim(anna, 1), s.claim(view, 1)
		if d := janustest.Data(anna.EventOf("event")); d["videoroom"] != "destroyed" || d["room"] != json.Number("1") {
			t.Error(d)
		}
		for _, h := range []*janustest.Handle{anna, view} {
			if e := h.EventOf("hangup"); e["reason"] != "Close PC" {
				t.Error(e)
			}
			s.refused(h, m{"request": "configure"}, nil, 426)
			if got := h.Request(m{"janus": "detach"}); got["janus"] != "success" {
				t.Error(got)
			}
		}
	})
}

// Somebody else has the publisher's id when it comes back.
func TestIDTakenMeanwhile(t *testing.T) {
	for name, comes := range map[string]int{"at the same node": 1, "at another": 2} {
		t.Run(name, func(t *testing.T) {
			moving(t, 3, m{}, func(t *testing.T, s *moveStage) {
				anna := s.publish(0, 7, "audio")
				s.crash(0)
				s.settle()
				other := s.publish(2, 7, "audio")
				anna = s.claim(anna, comes)
				if d := janustest.Data(anna.EventOf("event")); d["leaving"] != "ok" || d["reason"] != "kicked" {
					t.Error(d)
				}
				anna.EventOf("hangup")
				s.refused(anna, m{"request": "configure"}, nil, 426)
				s.refused(anna, m{"request": "join", "ptype": "publisher", "room": 1}, nil, 425)
				s.saw(other, "")
				if got := s.participants(1); got != "7" {
					t.Error(got)
				}
			})
		})
	}
}

// A session moves again and again, and comes back to where it was.
func TestMovesAgain(t *testing.T) {
	moving(t, 3, m{"notify_joining": true}, func(t *testing.T, s *moveStage) {
		far, anna := s.join(2, 6, nil), s.publish(0, 7, "audio")
		view := s.watch(2, m{"feed": 7})
		s.ok(far, m{"request": "rtp_forward", "room": 1, "publisher_id": 7, "host": "127.0.0.1", "streams": []any{m{"mid": "0", "port": 1000}}}, nil)
		s.settle()
		s.events(far)
		s.events(view)
		for _, node := range []int{1, 0, 1, 2, 0} {
			s.keep()
			anna = s.claim(anna, node)
			s.ok(anna, m{"request": "configure", "display": fmt.Sprint("at ", node)}, nil)
		}
		s.keep()
		if got := s.events(far); strings.Contains(got, "leaving") || strings.Contains(got, "joining") || strings.Contains(got, "publish") {
			t.Error(got)
		}
		s.saw(view, "")
		if got := s.participants(1); got != "6 7" {
			t.Error(got)
		}
		if got := len(s.media.Forwarders()); got != 1 {
			t.Errorf("%d forwarders", got)
		}
	})
}

// Of two snapshots, either makes a participant that the room can live with, though the others know of later things.
func TestOlderSnapshot(t *testing.T) {
	moving(t, 2, m{"notify_joining": true}, func(t *testing.T, s *moveStage) {
		far, anna := s.join(1, 6, nil), s.publish(0, 7, "audio")
		s.keep()
		s.media.Fail("Keep", errNowhere)
		s.ok(anna, m{"request": "configure", "display": "A"}, nil)
		s.ok(anna, m{"request": "configure", "display": "B"}, nil)
		s.settle()
		s.events(far)
		s.keep()
		s.claim(anna, 1)
		if got := s.events(far); strings.Contains(got, "leaving") || strings.Contains(got, "joining") {
			t.Error(got)
		}
		if got := s.snapshot(1, 7).Publisher; got.Entry.Display != nil || got.Entry.Renamed != 1 {
			t.Errorf("%+v", got.Entry)
		}
	})
}

// A node was thought to be gone, and is back with what another has taken over since.
func TestNodeComesBack(t *testing.T) {
	for name, other := range map[string]bool{"it gives way": false, "somebody else has the id": true} {
		t.Run(name, func(t *testing.T) {
			moving(t, 3, m{"notify_joining": true}, func(t *testing.T, s *moveStage) {
				anna := s.publish(0, 7, "audio")
				s.keep()
				far := s.join(2, 6, nil)
				s.settle()
				s.split(s.nodes[0])
				s.mu.Lock()
				s.dead[0] = true
				s.mu.Unlock()
				s.settle()
				back := s.claim(anna, 1)
				s.events(far)
				id, _ := anna.Session().Int64()
				if other {
					s.nodes[0].server.Lost(uint64(id))
					time.Sleep(2 * reclaimTime)
					s.publish(0, 7, "audio")
					r := s.nodes[0].cluster.rooms["1"]
					slices.Reverse(r.roster) // it claimed the id first
				}
				s.cluster.join(s.nodes[0])
				if other {
					s.saw(far, "leaving 7, joining 7, publishers 7")
					back.EventOf("hangup")
					return
				}
				time.Sleep(time.Second)
				s.nodes[0].server.Lost(uint64(id))
				time.Sleep(2 * reclaimTime)
				s.saw(far, "")
				s.saw(back, "")
				for n := range 3 {
					if got := s.participants(n); got != "7 6" {
						t.Errorf("node %d shows %s", n, got)
					}
				}
				s.ok(back, m{"request": "unpublish"}, nil)
				back.EventOf("hangup")
				s.saw(far, "unpublished 7, unpublished 7")
			})
		})
	}
}

// What has joined nothing, or left, is nothing anywhere else.
func TestNewcomersMove(t *testing.T) {
	moving(t, 2, m{}, func(t *testing.T, s *moveStage) {
		// Handles without a peer are kept beside one of their session's.
		anna := s.publish(0, 7, "audio")
		fresh, left, view := anna.Attach(Package), anna.Attach(Package), anna.Attach(Package)
		s.ok(left, m{"request": "join", "ptype": "publisher", "room": 1, "id": 8}, nil)
		s.ok(left, m{"request": "leave"}, nil)
		attached := view.Message(m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 7}, nil)
		s.ok(view, m{"request": "start"}, janustest.Answer(attached["jsep"].(m)["sdp"].(string)))
		s.ok(view, m{"request": "leave"}, nil)
		s.keep()
		anna = s.claim(anna, 1)
		fresh, left, view = anna.Client.Handle(fresh.ID), anna.Client.Handle(left.ID), anna.Client.Handle(view.ID)
		s.refused(left, m{"request": "join", "ptype": "publisher", "room": 1}, nil, 425)
		s.refused(view, m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 7}, nil, 425)
		s.ok(fresh, m{"request": "join", "ptype": "publisher", "room": 1, "id": 9}, nil)
		if got := s.participants(1); got != "7 9" {
			t.Error(got)
		}
	})
}

func TestStatesAreBounded(t *testing.T) {
	long := strings.Repeat("x", maxText)
	p := fullParticipant(newRoom(numberID(1), 1, RoomConfig{}))
	p.recordingBase, p.display = long, &long
	for _, st := range p.streams {
		st.description = &long
	}
	for range maxStreams - len(p.streams) {
		st := newStream(p, plane.Audio, len(p.streams), "m")
		st.description = &long
		p.streams = append(p.streams, st)
	}
	b, err := (&state{Publisher: p.state()}).encode()
	if err != nil || len(b) > maxState {
		t.Fatalf("publisher: %d bytes, %v", len(b), err)
	}
	if back, err := readState(b); err != nil || back.Publisher.Entry.Display == nil {
		t.Errorf("publisher: %v", err)
	}
	sub := newSubscriber(newRoom(numberID(1), 1, RoomConfig{}), nil)
	for range maxLines {
		l := sub.add(p.streams[0])
		l.crossref = &long
	}
	if b, err = (&state{Subscriber: sub.state()}).encode(); err != nil || len(b) > maxState {
		t.Errorf("subscriber: %d bytes, %v", len(b), err)
	}
	for name, text := range map[string]string{
		"rubbish": `{`, "both": `{"publisher":{},"subscriber":{}}`, "size": `{"peer":"` + strings.Repeat("x", maxState) + `"}`,
		"a kind":       `{"subscriber":{"lines":[{"type":"smell"}]}}`,
		"kinds":        `{"subscriber":{"lines":[{"type":"audio","sources":[{"stream":{"type":"video"}}]}]}}`,
		"sources":      `{"subscriber":{"lines":[{"type":"audio","sources":[{"stream":{"type":"audio"}},{"stream":{"type":"audio"}}]}]}}`,
		"layers":       `{"subscriber":{"lines":[{"type":"video","want":{"substream":3}}]}}`,
		"a profile":    `{"subscriber":{"lines":[{"type":"video","h264_profile":"a\r\nb"}]}}`,
		"an entry":     `{"publisher":{"entry":{"left":"away"}}}`,
		"a codec":      `{"publisher":{"audio_codec":"vp8"}}`,
		"a key":        `{"publisher":{"forwarders":[{"id":1,"host":"127.0.0.1","srtp_suite":32,"key":"AAAA"}]}}`,
		"a forwarder":  `{"publisher":{"forwarders":[{"id":1,"host":"there"}]}}`,
		"a remotation": `{"publisher":{"remotes":[{"host":"there"}]}}`,
	} {
		if _, err := readState([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if s, err := readState([]byte(`{"news":1,"subscriber":{"room":"1","lines":[{"type":"video","news":2}]}}`)); err != nil {
		t.Error(err)
	} else if l := s.Subscriber.Lines[0].line(sub); l.want != allLayers || l.now != noLayers || l.minDelay != -1 || !l.send {
		t.Errorf("what is missing became %+v", l)
	}
}

// FuzzRestore restores whatever may have been kept, and wants the room's books to agree, and that what comes of it can be kept again.
func FuzzRestore(f *testing.F) {
	p := fullParticipant(newRoom(numberID(1), 1, RoomConfig{}))
	for _, r := range []*state{{Publisher: p.state()}, {Subscriber: fullSubscriber(p).state()}} {
		b, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"publisher":{"room":"1","id":"7","entry":{"joined":3,"left":"kicked"}}}`))
	f.Add([]byte(`{"publisher":{"room":"2","id":"7","absent":true}}`))
	f.Add([]byte(`{"subscriber":{"room":"1","lines":[{"type":"data","sources":[{"feed":"5","stream":{"type":"data"}}]},{"type":"video"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := readState(b)
		if err != nil {
			return
		}
		plugin, err := New(Config{Rooms: []RoomConfig{DefaultRoom("1")}})
		if err != nil {
			t.Fatal(err)
		}
		var h *janus.Handle
		hold := &holder{Plugin: plugin, made: func(x *janus.Handle) { h = x }}
		server, media := janustest.NewServer(t, nil, hold)
		client := janustest.Open(t, server, Package)
		client.Message(janustest.M{"request": "joinandconfigure", "ptype": "publisher", "room": 1, "id": 1}, janustest.Offer("audio", "simulcast", "data"))
		media.Up(media.Peers()[0].ID)
		client.EventOf("webrtcup")
		st.Peer = h.PeerID()
		if b, err = st.encode(); err != nil {
			return
		}
		i, err := plugin.Restore(t.Context(), h, b)
		if err != nil {
			return
		}
		check := func() {
			for _, r := range plugin.all() {
				checkRoom(t, r)
			}
		}
		check()
		again, err := i.(janus.Portable).Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readState(again); err != nil {
			t.Fatalf("%s became %s: %v", b, again, err)
		}
		_ = i.Query()
		i.(janus.Portable).Release(t.Context())
		check()
	})
}

// holder tells of the handles that it makes instances for.
type holder struct {
	*Plugin
	made func(h *janus.Handle)
}

func (p *holder) Attach(h *janus.Handle) (janus.Instance, error) {
	p.made(h)
	return p.Plugin.Attach(h)
}

// fullSubscriber is one with everything that can be kept.
func fullSubscriber(p *participant) *subscriber {
	sub := newSubscriber(p.room, nil)
	sub.privateID, sub.useMsid, sub.autoupdate, sub.e2ee, sub.kicked = 5, true, true, true, true
	sub.answered, sub.pending, sub.restart, sub.skipped = true, true, true, true
	for _, st := range p.streams {
		if l := sub.attach(st); l != nil {
			text := "ref"
			l.crossref, l.ready, l.minDelay, l.maxDelay, l.now.temporal, l.want.spatial, l.fallback = &text, true, 1, 2, 1, 0, time.Second
		}
	}
	return sub
}
