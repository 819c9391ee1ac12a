package console

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNameNodes wants no two nodes to read the same.
func TestNameNodes(t *testing.T) {
	type read struct{ Label, Short string }
	for name, tt := range map[string]struct {
		nodes []MeshNode
		want  []read
	}{
		"names of their own":       {[]MeshNode{{ID: "aaaaaaaa", Name: "fra1.example"}, {ID: "bbbbbbbb", Name: "iad1.example"}}, []read{{"fra1.example", "fra1"}, {"iad1.example", "iad1"}}},
		"one host":                 {[]MeshNode{{ID: "aaaaaaaa", Name: "vm"}, {ID: "bbbbbbbb", Name: "vm"}, {ID: "cccccccc", Name: "n3"}}, []read{{"vm (aaaaaa)", "vm (aaaaaa)"}, {"vm (bbbbbb)", "vm (bbbbbb)"}, {"n3", "n3"}}},
		"one host with a domain":   {[]MeshNode{{ID: "aaaaaaaa", Name: "vm.example"}, {ID: "bbbbbbbb", Name: "vm.example"}}, []read{{"vm.example (aaaaaa)", "vm (aaaaaa)"}, {"vm.example (bbbbbb)", "vm (bbbbbb)"}}},
		"the first part is shared": {[]MeshNode{{ID: "aaaaaaaa", Name: "a.fra"}, {ID: "bbbbbbbb", Name: "a.iad"}, {ID: "cccccccc", Name: "b.fra"}}, []read{{"a.fra", "a.fra"}, {"a.iad", "a.iad"}, {"b.fra", "b"}}},
		"ids that begin alike":     {[]MeshNode{{ID: "aaaaaaab", Name: "vm"}, {ID: "aaaaaaac", Name: "vm"}}, []read{{"vm (aaaaaaab)", "vm (aaaaaaab)"}, {"vm (aaaaaaac)", "vm (aaaaaaac)"}}},
		"addresses, and no names":  {[]MeshNode{{ID: "aaaaaaaa", Name: "10.0.0.1"}, {ID: "bbbbbbbb", Name: "10.0.0.2"}, {ID: "cccccccc"}, {ID: "dd"}}, []read{{"10.0.0.1", "10.0.0.1"}, {"10.0.0.2", "10.0.0.2"}, {"cccccc", "cccccc"}, {"dd", "dd"}}},
		"the same id twice":        {[]MeshNode{{ID: "a", Name: "vm"}, {ID: "a", Name: "vm"}}, []read{{"vm (a)", "vm (a)"}, {"vm (a)", "vm (a)"}}}, // it never is, and it ends
	} {
		var all []*MeshNode
		for i := range tt.nodes {
			all = append(all, &tt.nodes[i])
		}
		NameNodes(all)
		var got []read
		for _, n := range all {
			got = append(got, read{n.Label, n.Short})
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestWaiting says to people what a node waits for.
func TestWaiting(t *testing.T) {
	for want, w := range map[string]Waiting{
		"nobody": {}, "1 client": {Clients: 1}, "3 clients, 1 TURN relay": {Clients: 3, Relays: 1},
		"2 TURN relays, 1 stream for another node, 4 rooms to hand over": {Relays: 2, Streams: 1, Records: 4},
	} {
		if got := w.String(); got != want {
			t.Errorf("%+v: %q, not %q", w, got, want)
		}
	}
}
