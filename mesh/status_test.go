package mesh

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/mesh/pull"
	"cardea/relay/link"
)

func TestFlow(t *testing.T) {
	ids := func(ids ...link.NodeID) []link.NodeID { return ids }
	got := flow([]pull.Row{
		{Mid: "published here, for two nodes", Here: true, Path: ids("self"), Children: ids("b", "c")},
		{Mid: "from the publisher's node", Open: true, Path: ids("a", "self")},
		{Mid: "by way of a, and passed on", Open: true, Path: ids("d", "a", "self"), Children: ids("b")},
		{Mid: "from another parent", Open: true, Path: ids("d", "self")},
		{Mid: "not there yet"},
	})
	want := Flow{Wanted: 5, Pulled: 3, Waiting: 1, Parents: 2, Exports: 3, Children: 2}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
