package member

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cardea/relay/link"
)

// TestRecount has two nodes that hear each other call each other dead, because their gossip was out of order for a while: they clear that up between
// themselves, and nobody was gone meanwhile.
func TestRecount(t *testing.T) {
	var nodes []*testNode
	var mend []func()
	var over atomic.Bool
	for i := range 2 {
		cfg := config(t)
		if i > 0 {
			cfg.Join = []string{nodes[0].invitation(Invitation{})}
		}
		c, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.Vouch(func(link.NodeID) bool { return true })
		var met atomic.Bool
		c.Watch(func() {
			if len(c.Nodes()) == 2 {
				met.Store(true)
			} else if met.Load() && !over.Load() {
				t.Error("a node is gone that is heard")
			}
		})
		nodes = append(nodes, run(t, c))
	}
	together(t, nodes...)
	doubts := func(want int) {
		t.Helper()
		eventually(t, 15*time.Second, func() string {
			for _, n := range nodes {
				n.mu.Lock()
				have := len(n.doubts)
				n.mu.Unlock()
				if have != want || n.list.NumMembers() != 2-want {
					return fmt.Sprintf("%d doubts, gossip knows %d", have, n.list.NumMembers())
				}
			}
			return ""
		})
	}
	for i, n := range nodes {
		mend = append(mend, n.cut(bytes.Repeat([]byte{byte(i)}, gossipKey)))
	}
	doubts(1)
	<-time.After(3 * time.Second) // gossip tells the dead no more of it
	for _, f := range mend {
		f()
	}
	doubts(0)
	over.Store(true)
}
