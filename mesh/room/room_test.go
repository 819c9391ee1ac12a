package room

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// TestJoin has three people on three nodes in a room, and says what they see and what it costs.
func TestJoin(t *testing.T) {
	s, ids := cluster(t, 1, 5)
	s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
	if err := s.try(func(done func(error)) { s.nodes[ids[3]].create("a/1", "other", false, done) }); !errors.Is(err, ErrExists) {
		t.Fatalf("made twice: %v", err)
	}
	var users []*simView
	for i, id := range ids {
		u := s.nodes[id].open("a/1")
		s.run(time.Second)
		if s.nodes[id].views["a/1"] != u {
			t.Fatalf("%s: not open: %v", id, u.log)
		}
		if len(u.there) != i {
			t.Fatalf("%s: finds %v", id, u.there)
		}
		u.set(fmt.Sprintf("p%d", i), "entry "+string(id))
		s.run(time.Second)
		users = append(users, u)
	}
	s.run(time.Second)
	for i, u := range users {
		if len(u.there) != len(ids)-1 || u.there[fmt.Sprintf("p%d", (i+1)%len(ids))] == "" {
			t.Errorf("%s sees %v", u.node.id, u.there)
		}
	}
	before, notices := s.bytes, s.notices
	s.run(10 * time.Second)
	idle, idleNotices := s.bytes-before, s.notices-notices
	before, notices = s.bytes, s.notices
	for i := range 100 {
		users[0].set("p0", fmt.Sprintf("%0200d", i))
		s.run(100 * time.Millisecond)
	}
	t.Logf("4 nodes follow the fifth: idle %d bytes/s in %d notices/s; an entry of 200 bytes costs %d bytes in %d notices beyond that",
		idle/10, idleNotices/10, (s.bytes-before-idle)/100, (s.notices-notices-idleNotices)/100)
	users[2].close()
	s.run(time.Second)
	if _, ok := users[1].there["p2"]; ok {
		t.Error("p2 is still there")
	}
	s.run(closeAfter)
	if r := users[2].node.core.rosters["a/1"]; r != nil && users[2].node.keepers("a/1")[0] != users[2].node.id {
		t.Error("the room is still followed")
	}
}

// TestFailover kills the keeper of a room and says how long others hear nothing of each other.
func TestFailover(t *testing.T) {
	worst := time.Duration(0)
	for seed := range uint64(20) {
		s, ids := cluster(t, seed, 6)
		s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
		keeper := s.nodes[ids[0]].keepers("a/1")[0]
		var users []*simView
		for _, id := range ids {
			if id != keeper {
				u := s.nodes[id].open("a/1")
				s.run(time.Second)
				u.set("p"+string(id), "here")
				users = append(users, u)
			}
		}
		s.run(time.Second)
		s.kill(keeper)
		killed := s.now
		users[0].set("p"+string(users[0].node.id), "news")
		for {
			s.run(10 * time.Millisecond)
			missing := 0
			for _, u := range users[1:] {
				if u.there["p"+string(users[0].node.id)] != "news" {
					missing++
				}
			}
			if missing == 0 {
				break
			}
			if s.now.Sub(killed) > 5*time.Second {
				t.Fatalf("seed %d: %d do not know the news after 5 s", seed, missing)
			}
		}
		worst = max(worst, s.now.Sub(killed))
		s.run(10 * time.Second)
		for _, u := range users {
			if u.gone > 0 || len(u.there) != len(users)-1 {
				t.Errorf("seed %d: %s saw %d go: %v", seed, u.node.id, u.gone, u.log)
			}
		}
	}
	t.Logf("at most %v until news arrive again", worst)
	if worst > 1500*time.Millisecond {
		t.Errorf("news took %v", worst)
	}
}

// TestNodeDies has nobody see its participants any longer than 5 s.
func TestNodeDies(t *testing.T) {
	for seed := range uint64(20) {
		s, ids := cluster(t, seed, 5)
		s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
		users := map[link.NodeID]*simView{}
		for _, id := range ids {
			users[id] = s.nodes[id].open("a/1")
			s.run(time.Second)
			users[id].set("p"+string(id), "here")
		}
		s.run(time.Second)
		dead := ids[s.rand.IntN(len(ids))]
		s.kill(dead)
		s.run(5 * time.Second)
		for id, u := range users {
			if _, ok := u.there["p"+string(dead)]; ok && id != dead {
				t.Errorf("seed %d: %s sees a ghost", seed, id)
			}
			if id != dead && len(u.there) != len(ids)-2 {
				t.Errorf("seed %d: %s sees %d", seed, id, len(u.there))
			}
		}
	}
}

// TestRestartedAtOnce has a node come back before anybody noticed that it was gone, with other business to talk about: what it had in
// the room before ends all the same.
func TestRestartedAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		s, ids := cluster(t, seed, 5)
		s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
		users := map[link.NodeID]*simView{}
		for _, id := range ids {
			users[id] = s.nodes[id].open("a/1")
			s.run(time.Second)
			users[id].set("p"+string(id), "here")
		}
		s.run(time.Second)
		dead := ids[s.rand.IntN(len(ids))]
		delete(users, dead)
		s.kill(dead)
		s.run(50 * time.Millisecond)
		s.add(dead)
		for range 10 {
			s.nodes[dead].create("a/2", "other", false, func(error) {})
			for _, id := range ids { // who hears it knows that it lives
				s.nodes[dead].input(func(c *core, _ time.Time) {
					if id != dead {
						c.call(id, KindFetch, &fetchMessage{ID: "a/2"}, time.Second, func([]byte, error) {})
					}
				})
			}
			s.run(500 * time.Millisecond)
		}
		for id, u := range users {
			if _, ok := u.there["p"+string(dead)]; ok {
				t.Errorf("seed %d: %s sees a ghost", seed, id)
			}
			if len(u.there) != len(ids)-2 {
				t.Errorf("seed %d: %s sees %v", seed, id, u.there)
			}
		}
	}
}

// TestLastNoticeLost loses the last thing that a keeper says, on a link that goes on, so that no gap shows it.
func TestLastNoticeLost(t *testing.T) {
	s, ids := cluster(t, 1, 4)
	s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
	keeper := s.nodes[ids[0]].keepers("a/1")[0]
	var users []*simView
	for _, id := range ids {
		if id != keeper {
			users = append(users, s.nodes[id].open("a/1"))
			s.run(time.Second)
		}
	}
	s.run(time.Second)
	s.drop = func(from, to link.NodeID) bool { return from == keeper && to == users[1].node.id }
	users[0].set("p", "here")
	s.run(200 * time.Millisecond)
	s.drop = nil
	s.run(stuckAfter + time.Second)
	for _, u := range users[1:] {
		if u.there["p"] != "here" {
			t.Errorf("%s was never told", u.node.id)
		}
	}
}

// TestPartition lets both sides go on and merges them.
func TestPartition(t *testing.T) {
	for seed := range uint64(20) {
		s, ids := cluster(t, seed, 6)
		s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
		users := map[link.NodeID]*simView{}
		for _, id := range ids {
			users[id] = s.nodes[id].open("a/1")
			s.run(time.Second)
			users[id].set("p"+string(id), "here")
		}
		s.run(time.Second)
		s.split(func(id link.NodeID) int { return int(flag(id >= ids[3])) })
		s.run(30 * time.Second)
		for _, id := range ids {
			if len(users[id].there) != 2 {
				t.Errorf("seed %d: apart %s sees %v", seed, id, users[id].there)
			}
		}
		for i, id := range ids {
			users[id].set("p"+string(id), "changed")
			if i == 0 || i == 5 {
				users[id].set("same", "by "+string(id))
				s.run(5 * time.Second) // more than the clocks differ
			}
		}
		s.heal()
		s.run(5 * time.Second)
		for _, id := range ids {
			want := map[string]string{"same": "by " + string(ids[0])}
			for _, other := range ids {
				want["p"+string(other)] = "changed"
			}
			delete(want, "p"+string(id))
			if id == ids[0] {
				delete(want, "same")
			}
			if !maps.Equal(users[id].there, want) {
				t.Errorf("seed %d: together %s sees %v", seed, id, users[id].there)
			}
		}
		if len(users[ids[5]].lost) != 1 || len(users[ids[0]].lost) != 0 {
			t.Errorf("seed %d: lost %v, %v", seed, users[ids[5]].lost, users[ids[0]].lost)
		}
	}
}

// TestDroppedUnaware has a keeper that nobody else talks to take its only follower for dead, which hears it all the time: the follower is told
// when it is heard again, though the keeper has nothing to say.
func TestDroppedUnaware(t *testing.T) {
	s, ids := cluster(t, 1, 4)
	s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
	ranking := s.nodes[ids[0]].ranking("a/1")
	keeper, one, other := ranking[0], s.nodes[ranking[2]], s.nodes[ranking[3]]
	u := one.open("a/1")
	s.run(2 * time.Second)
	l := s.link(one.id, keeper)
	delay := l.delay
	l.delay = silence + 200*time.Millisecond
	for range 7 { // what the keeper says of other things
		s.run(200 * time.Millisecond)
		one.input(func(c *core, now time.Time) { c.notice(now, keeper, wire.Marshal(&noticeMessage{})) })
	}
	l.delay = delay
	if s.nodes[keeper].core.rosters["a/1"] != nil || one.core.peers[keeper].silent {
		t.Fatal("the keeper did not drop a follower that hears it")
	}
	s.run(10 * time.Second)
	v := other.open("a/1")
	s.run(2 * time.Second)
	u.set("p", "here")
	v.set("q", "there")
	s.run(2 * time.Second)
	if u.there["q"] != "there" || v.there["p"] != "here" {
		t.Errorf("they see %v and %v", u.there, v.there)
	}
}
