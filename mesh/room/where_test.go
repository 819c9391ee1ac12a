package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// TestWhere wants any node to learn where the participants of a room are.
func TestWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ids := newNet(t, 5)
		defer w.close()
		ctx := t.Context()
		ok(t, w.nodes[ids[0]].Create(ctx, "v/1", []byte("one"), false))
		for i, names := range [][]string{{"anna"}, {"bert", "carl", "dora"}} {
			r := must[*Room](t)(w.nodes[ids[i]].Open(ctx, "v/1", Watcher{}))
			for _, name := range names {
				ok(t, r.Claim(ctx, name))
				r.Put(name, []byte(name))
			}
		}
		time.Sleep(time.Second)
		for _, id := range ids {
			if got := must[[]At](t)(w.nodes[id].Where(ctx, "v/1")); !slices.Equal(got, []At{{ids[1], 3}, {ids[0], 1}}) {
				t.Errorf("%s: %v", id, got)
			}
			if got := must[[]At](t)(w.nodes[id].Where(ctx, "v/2")); len(got) != 0 {
				t.Errorf("%s: in a room that is not there: %v", id, got)
			}
		}
		if _, err := w.nodes[ids[0]].Where(ctx, strings.Repeat("x", MaxID+1)); !errors.Is(err, ErrTooLong) {
			t.Errorf("too long: %v", err)
		}
	})
}

// TestWhereOfKeeperGoneWrong wants an answer that is too much to be cut, and rubbish to be an error.
func TestWhereOfKeeperGoneWrong(t *testing.T) {
	var much whereReply
	for i := range 3 * maxWhere {
		much.Nodes = append(much.Nodes, whereNode{fmt.Sprint(i), 1 << 63})
	}
	much.Nodes[0].Node = strings.Repeat("x", maxNodeID+1)
	answer := wire.Marshal(&much)
	r := New(Config{
		Self: "a", Notify: func(link.NodeID, link.Kind, []byte) error { return nil },
		Call: func(context.Context, link.NodeID, link.Kind, []byte) ([]byte, error) { return answer, nil },
	})
	r.SetNodes([]link.NodeID{"a", "b"})
	elsewhere := ""
	for i := 0; elsewhere == ""; i++ {
		if id := fmt.Sprint("v/", i); r.Keeper(id) == "b" {
			elsewhere = id
		}
	}
	at, err := r.Where(t.Context(), elsewhere)
	if err != nil || len(at) != maxWhere-1 || at[0].Count < 0 {
		t.Errorf("%d %v", len(at), err)
	}
	answer = []byte{0xff}
	if _, err := r.Where(t.Context(), elsewhere); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("rubbish: %v", err)
	}
}
