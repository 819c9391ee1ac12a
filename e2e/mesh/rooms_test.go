package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
)

// refused wants the answer to be an error of a code.
func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	if r := (*caller.RefusedError)(nil); !errors.As(err, &r) || r.Code.String() != code {
		t.Errorf("%s: %v, not error %s", what, err, code)
	}
}

// exists tells whether a node knows the room.
func exists(t *testing.T, c *caller.Client, room int) bool {
	t.Helper()
	yes, _ := ask(t, c, caller.VideoRoom, caller.M{"request": "exists", "room": room})["exists"].(bool)
	return yes
}

// testRooms makes a room with a secret and a pin through one node, edits it through another, and destroys it through a
// third; another one has room for one publisher, wherever that is.
func (w *world) testRooms(t *testing.T) {
	const room = 300
	eu, us, ap := w.in("eu")[1].open(t), w.in("us")[1].open(t), w.in("ap")[1].open(t)
	ask(t, eu, caller.VideoRoom, caller.M{"request": "create", "room": room, "secret": "s", "pin": "1"})

	_, err := try(within(t), ap, caller.VideoRoom, caller.M{"request": "create", "room": room})
	refused(t, "the same room again", err, "427")
	join := caller.M{"request": "join", "ptype": "publisher", "room": room}
	_, err = try(within(t), ap, caller.VideoRoom, join)
	refused(t, "join without the pin", err, "429")
	_, err = try(within(t), us, caller.VideoRoom, caller.M{"request": "edit", "room": room, "secret": "x", "new_pin": "2"})
	refused(t, "edit with a wrong secret", err, "433")
	ask(t, us, caller.VideoRoom, caller.M{"request": "edit", "room": room, "secret": "s", "new_pin": "2", "new_description": "edited"})

	// The news of the edit takes as long as the oceans do.
	join["pin"] = "2"
	seated, err := ap.Attach(within(t), caller.VideoRoom)
	if err != nil {
		t.Fatal(err)
	}
	await(t, func() string { return fmt.Sprintf("join with the new pin: %v", err) }, func() bool {
		_, err = seated.Message(within(t), join, nil)
		return err == nil
	})
	_, err = try(within(t), eu, caller.VideoRoom, merge(caller.M{"pin": "1"}, caller.M{"request": "join", "ptype": "publisher", "room": room}))
	refused(t, "join with the old pin", err, "433")
	_, err = try(within(t), eu, caller.VideoRoom, caller.M{"request": "destroy", "room": room, "secret": "x"})
	refused(t, "destroy with a wrong secret", err, "433")
	ask(t, eu, caller.VideoRoom, caller.M{"request": "destroy", "room": room, "secret": "s"})
	for _, c := range []*caller.Client{eu, us, ap} {
		await(t, func() string { return "a destroyed room still exists" }, func() bool { return !exists(t, c, room) })
	}
	told := &attendee{handle: seated}
	await(t, func() string {
		return fmt.Sprintf("who was in it is not told that it was destroyed, but %v", told.events)
	}, func() bool {
		for _, m := range told.noticed() {
			if m["videoroom"] == "destroyed" {
				return true
			}
		}
		return false
	})
}

// testLimit has two publish at different nodes in a room for one.
func (w *world) testLimit(t *testing.T) {
	const room = 301
	eu, ap := w.in("eu")[1].open(t), w.in("ap")[1].open(t)
	ask(t, eu, caller.VideoRoom, caller.M{"request": "create", "room": room, "publishers": 1})
	first, err := ap.Publish(within(t), room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	_, err = eu.Publish(within(t), room)
	refused(t, "a second publisher in a room for one", err, "432")
	if err := first.Leave(within(t)); err != nil {
		t.Fatal(err)
	}
	await(t, func() string { return fmt.Sprintf("nobody can take the place of who left: %v", err) }, func() bool {
		second, failed := eu.Publish(within(t), room)
		if err = failed; err == nil {
			second.Close()
		}
		return err == nil
	})
}

// testModeration kicks a participant through another node, and has one unpublish: at each node the others are told of it as at its own.
func (w *world) testModeration(t *testing.T) {
	c := w.newCall(t, 400)
	kicked, silent := c.publish(t, w.in("us")[0]), c.publish(t, w.in("ap")[0])
	c.agree(t, w.nodes, w.nodes, kicked.ID, silent.ID)
	told := func(what string, id json.Number) {
		t.Helper()
		began := time.Now()
		for _, n := range w.nodes {
			await(t, func() string { return fmt.Sprintf("%s is not told: %s %s", n.name, what, id) }, func() bool { return c.at[n].count(what, id) > 0 })
		}
		t.Logf("%s: known at all nodes after %v", what, time.Since(began))
	}
	told("publishers", kicked.ID)
	told("publishers", silent.ID)

	if _, err := silent.Handle.Message(within(t), caller.M{"request": "unpublish"}, nil); err != nil {
		t.Fatal(err)
	}
	told("unpublished", silent.ID)
	c.agree(t, w.nodes, w.nodes, kicked.ID, silent.ID) // who unpublishes stays

	ask(t, c.at[w.in("eu")[2]].client, caller.VideoRoom, caller.M{"request": "kick", "room": c.room, "id": kicked.ID})
	told("kicked", kicked.ID)
	c.agree(t, w.nodes, w.nodes, silent.ID)
	for _, n := range w.nodes {
		for what, id := range map[string]json.Number{"publishers": kicked.ID, "kicked": kicked.ID, "unpublished": silent.ID} {
			// Janus may say twice that somebody publishes no more.
			if times, here := c.at[n].count(what, id), c.at[silent.at].count(what, id); times != here || what != "unpublished" && times != 1 {
				t.Errorf("%s is told %d times and not %d: %s %s", n.name, times, here, what, id)
			}
		}
	}
}

// testPermanent makes a permanent room, kills the node where it was made, and then restarts all nodes.
func (w *world) testPermanent(t *testing.T) {
	const room = 500
	made := w.in("us")[2]
	ask(t, made.open(t), caller.VideoRoom, caller.M{"request": "create", "room": room, "permanent": true, "description": "kept"})
	made.kill()
	for _, n := range w.except(made) {
		if !exists(t, n.open(t), room) {
			t.Errorf("%s does not know the room when the node where it was made is killed", n.name)
		}
	}
	for _, n := range w.nodes {
		n.stop(t)
	}
	began := time.Now()
	w.whole(t)
	t.Logf("all nodes see each other %v after their start", time.Since(began))
	for _, n := range w.nodes {
		c := n.open(t)
		await(t, func() string { return n.name + " does not know the room after a restart of all" }, func() bool { return exists(t, c, room) })
	}
}
