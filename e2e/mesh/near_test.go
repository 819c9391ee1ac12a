package mesh

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
	"cardea/geo/geotest"
)

// TestNearMedia has clients talk to a node over an ocean: their media is at the node of their own region, if it is known where they
// are, and stays there together; that of others is where they talk, and so is that of one whose address is said to be elsewhere than the
// node sees it to be.
func TestNearMedia(t *testing.T) {
	const liar = 2 // the host in Virginia whose address the database has in Frankfurt
	w := newWorldOf(t, wan.Regions(), []string{"eu", "us"}, 1)
	eu, us := w.nodes[0], w.nodes[1]
	places := filepath.Join(w.dir, "places.mmdb")
	geotest.Write(t, places, map[string]map[string]any{
		eu.address + "/24": geotest.City("DE", 50.11, 8.68),
		us.address + "/31": geotest.City("US", 39, -77.5),
		w.network.Site("us").Host(liar).String() + "/31": geotest.City("DE", 50.11, 8.68),
	})
	for _, n := range w.nodes {
		n.signal(syscall.SIGTERM)
		f, err := os.OpenFile(n.file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = fmt.Fprintf(f, "geo: {databases: [%q]}\n", places); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	w.launch(t)
	w.meet(t, 2)
	await(t, func() string { return "us1 does not know where nodes are" }, func() bool {
		b, err := us.get("/api/v1/overview")
		return err == nil && strings.Count(string(b), `"place":`) >= len(w.nodes)
	})

	const room = 12
	from := func(site *wan.Site, host int) *caller.Client {
		t.Helper()
		address := site.Host(host)
		dial := func(ctx context.Context, network, to string) (conn net.Conn, err error) {
			err = site.Do(func() error {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: address.AsSlice()}}
				conn, err = d.DialContext(ctx, network, to)
				return err
			})
			return conn, err
		}
		place := caller.Place{Dial: dial, ListenPacket: site.ListenPacket, Address: address.String()}
		c, err := place.Open(within(t), "ws://"+net.JoinHostPort(us.address, "8188")+"/")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Cut)
		return c
	}
	at := func(what string, p *caller.Peer, want, other *node) {
		t.Helper()
		sdp := p.PeerConnection().RemoteDescription().SDP
		if !strings.Contains(sdp, " "+want.address+" ") || strings.Contains(sdp, " "+other.address+" ") {
			t.Errorf("%s: media is not at %s:\n%s", what, want.name, sdp)
		}
	}
	german := from(eu.site, 1)
	ask(t, german, caller.VideoRoom, caller.M{"request": "create", "room": room})
	p, err := german.Publish(within(t), room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	at("Frankfurt", p.Peer, eu, us)
	var all []*watched
	for _, c := range []struct {
		name        string
		client      *caller.Client
		want, other *node
	}{
		{"Frankfurt again", german, eu, us},
		{"Virginia", from(us.site, 1), us, eu},
		{"nobody knows where", from(w.network.Site("ap"), 1), us, eu},
		{"Virginia, by the name of Frankfurt", from(us.site, liar), us, eu},
	} {
		s, err := c.client.Subscribe(within(t), room, p.ID)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Cleanup(s.Close)
		at(c.name, s.Peer, c.want, c.other)
		for _, kind := range []string{"audio", "video"} {
			if _, err := s.Track(within(t), kind); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		all = append(all, &watched{from: eu, at: c.want, sub: s})
	}
	flow(t, all, 100)
	for name, of := range map[string]*caller.Peer{"Frankfurt": p.Peer, "Virginia": all[1].sub.Peer, "nobody knows where": all[2].sub.Peer} {
		if s, ok := of.PeerConnection().SCTP().Transport().ICETransport().GetSelectedCandidatePairStats(); ok {
			t.Logf("%s: media's round trip is %.1f ms", name, s.CurrentRoundTripTime*1000)
		}
	}
	if n := us.metric(t, "cardea_media_nearer_total"); n != 1 {
		t.Errorf("media was put nearer %d times, not for one client", n)
	}
}
