package node

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"cardea/mesh"
	"cardea/mesh/member"
	"cardea/node/config"
	"cardea/node/console"
	"cardea/relay/link"
)

func TestMeshCollector(t *testing.T) {
	node := func(id, name string, linked bool, s mesh.Status) mesh.Status {
		s.ID, s.Name, s.Linked = link.NodeID(id), name, linked
		return s
	}
	nodes := []mesh.Status{
		node("a", "self", false, mesh.Status{Self: true}),
		node("b", "cut\xff", true, mesh.Status{RTT: 80 * time.Millisecond, Loss: 0.02, Late: 0.001, Budget: 5e6}),
		node("c", "new", true, mesh.Status{Loss: 0.01, Budget: 8e6, Stalled: true}),
		node("d", "far", false, mesh.Status{RTT: time.Second}),
	}
	nodes[3].State = member.Draining
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(meshCollector{func() []mesh.Status { return nodes }})
	got := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(scrape(t, r), "")
	const want = `cardea_mesh_link_budget_bits_per_second{name="cut?",peer="b"} 5e+06
cardea_mesh_link_budget_bits_per_second{name="new",peer="c"} 8e+06
cardea_mesh_link_budget_bits_per_second_min 5e+06
cardea_mesh_link_late_share{name="cut?",peer="b"} 0.001
cardea_mesh_link_late_share{name="new",peer="c"} 0
cardea_mesh_link_late_share_max 0.001
cardea_mesh_link_loss_share{name="cut?",peer="b"} 0.02
cardea_mesh_link_loss_share{name="new",peer="c"} 0.01
cardea_mesh_link_loss_share_max 0.02
cardea_mesh_link_queue_seconds{name="cut?",peer="b"} 0
cardea_mesh_link_queue_seconds{name="new",peer="c"} 0
cardea_mesh_link_queue_seconds_max 0
cardea_mesh_link_rtt_seconds{name="cut?",peer="b"} 0.08
cardea_mesh_link_rtt_seconds_max 0.08
cardea_mesh_links 2
cardea_mesh_links_stalled 1
cardea_mesh_nodes{state="draining"} 1
cardea_mesh_nodes{state="ready"} 3
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	nodes = nil
	for i := range 2 * maxPeers {
		nodes = append(nodes, node(fmt.Sprintf("%03d", i), "", true, mesh.Status{RTT: time.Duration(i) * time.Millisecond}))
	}
	got = scrape(t, r)
	if n := strings.Count(got, "cardea_mesh_link_loss_share{"); n != maxPeers || !strings.Contains(got, "\ncardea_mesh_link_rtt_seconds_max 0.127\n") {
		t.Errorf("%d of %d links have figures of their own, or the worst of all is not known", n, len(nodes))
	}
}

// TestMeshFigures has two nodes talk, and looks for it in the metrics, which go on when the link is over.
func TestMeshFigures(t *testing.T) {
	first, c1 := listen(t, "127.0.7.8")
	serve := func(n *Node) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Serve(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	defer serve(first)()
	invitation, err := first.cluster.Invite(t.Context(), member.Invitation{TTL: time.Minute, Uses: 1})
	if err != nil {
		t.Fatal(err)
	}
	c2 := new(config.Default())
	c2.Node.Name, c2.Node.DataDir, c2.Node.Bind, c2.Node.StopTimeout = "second", t.TempDir(), netip.MustParseAddr("127.0.7.9"), time.Second
	c2.Mesh.Join = []config.Secret{config.Secret(invitation)}
	second, err := Listen(t.Context(), c2, quiet())
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(second)
	h := client(t)
	ask := console.Client{URL: ConsoleURL(c1), HTTP: h}
	var s console.Status
	for deadline := time.Now().Add(20 * time.Second); s.Nodes != 2 || s.Links != 1; time.Sleep(20 * time.Millisecond) {
		if _, err := ask.Rooms(t.Context()); err != nil { // asks the other node
			t.Fatal(err)
		}
		if s, err = ask.Status(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v %v", s, err)
		}
	}
	out := scrape(t, first.registry)
	peer := fmt.Sprintf(`{name="%s",peer="%s"} `, second.name, second.cluster.Self().ID)
	for _, want := range []string{
		`cardea_mesh_nodes{state="ready"} 2`, "cardea_mesh_links 1", "cardea_mesh_link_loss_share" + peer, "cardea_mesh_link_budget_bits_per_second" + peer,
		"cardea_mesh_admitted_total 1", "cardea_mesh_link_loss_share_max ",
	} {
		if !strings.Contains(out, "\n"+want) {
			t.Errorf("%q is not among the metrics", want)
		}
	}
	calls := regexp.MustCompile(`(?m)^cardea_mesh_link_calls_out_total [1-9]`)
	if !calls.MatchString(out) {
		t.Error("no calls were counted")
	}
	stop()
	for deadline := time.Now().Add(10 * time.Second); s.Nodes != 1 || s.Links != 0; time.Sleep(20 * time.Millisecond) {
		if s, err = ask.Status(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v %v", s, err)
		}
	}
	out = scrape(t, first.registry)
	if !calls.MatchString(out) || strings.Contains(out, "peer=") || strings.Contains(out, "cardea_mesh_link_loss_share_max") {
		t.Error("calls of a link that is over are forgotten, or its figures are not")
	}
	if regexp.MustCompile(`(?m)^# HELP cardea_mesh_\w+ .*[^.]$`).MatchString(out) {
		t.Error("a metric without a sentence that explains it")
	}
}
