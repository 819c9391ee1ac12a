package videoroom

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"cardea/signaling/janus"
)

// forwarderEntry is one forwarder of an entry, but for its keys, which only the node has that runs it. If that node is gone,
// its forwarders stay in the list until they are stopped or the publisher stops.
type forwarderEntry struct {
	ID       uint32 `json:"id"`
	Mid      string `json:"mid"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	RTCPPort uint16 `json:"rtcp_port,omitempty"`
	PT       uint8  `json:"pt,omitempty"`
	SSRC     uint32 `json:"ssrc,omitempty"`
	Follow   bool   `json:"follow,omitempty"`
	Layer    int    `json:"layer,omitempty"`
	Suite    int    `json:"srtp_suite,omitempty"` // where it is told of
}

// forwarderEntries are the participant's forwarders, those of remotizations aside.
func (p *participant) forwarderEntries() []forwarderEntry {
	var list []forwarderEntry
	for _, f := range p.forwarders {
		if f.remote == "" {
			list = append(list, f.entry())
		}
	}
	slices.SortFunc(list, func(a, b forwarderEntry) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (f *forwarder) entry() forwarderEntry {
	e := forwarderEntry{
		ID: f.id, Mid: f.stream.mid, Host: f.host.String(), Port: f.port, RTCPPort: f.rtcpPort, PT: f.pt, SSRC: f.ssrc,
		Follow: f.follow, Layer: f.layer,
	}
	if !f.srtp.hidden {
		e.Suite = f.srtp.suite
	}
	return e
}

func (e *forwarderEntry) check() error {
	if _, err := netip.ParseAddr(e.Host); err != nil || e.ID == 0 || e.Layer < 0 || e.Layer > 2 {
		return fmt.Errorf("%+v", *e)
	}
	return nil
}

// forwarder is what is known of a forwarder that another node runs.
func (e *forwarderEntry) forwarder(st *stream) *forwarder {
	host, _ := netip.ParseAddr(e.Host) // checked
	return &forwarder{
		elsewhere: true, id: e.ID, stream: st, host: host, port: e.Port, rtcpPort: e.RTCPPort, pt: e.PT, ssrc: e.SSRC,
		follow: e.Follow, layer: e.Layer, srtp: srtp{suite: e.Suite},
	}
}

// copyForwarders gives the mirror the forwarders of an entry; it returns those of this node that have been stopped.
func (p *participant) copyForwarders(list []forwarderEntry) (stopped []string) {
	known := make(map[uint32]bool, len(list))
	for i := range list {
		e := &list[i]
		known[e.ID] = true
		f, st := p.forwarders[e.ID], p.stream(e.Mid)
		switch {
		case f != nil:
			f.pending = false
		case st != nil:
			p.keepForwarder(e.forwarder(st))
		}
	}
	for id, f := range p.forwarders {
		if known[id] || f.pending {
			continue
		}
		delete(p.forwarders, id)
		if !f.elsewhere {
			stopped = append(stopped, f.name)
		}
	}
	return stopped
}

// forwardsHere tells whether this node runs a forwarder of the participant's.
func (p *participant) forwardsHere() bool {
	for _, f := range p.forwarders {
		if !f.elsewhere {
			return true
		}
	}
	return false
}

// forwardersHere are the forwarders that this node runs of participants of other nodes.
func (r *room) forwardersHere() (names []string) {
	for _, p := range r.members {
		for _, f := range p.forwarders {
			if p.remote && !f.elsewhere {
				names = append(names, f.name)
			}
		}
	}
	return names
}

// noteForwarders tells the node of a publisher of the forwarders that this node is about to run: it keeps the list. Those that
// it took, and that are still wanted, are returned.
func (p *Plugin) noteForwarders(ctx context.Context, publisher *participant, list []*forwarder) ([]*forwarder, error) {
	r := publisher.room
	r.mu.Lock()
	entries := make([]forwarderEntry, 0, len(list))
	for _, f := range list {
		entries = append(entries, f.entry())
	}
	r.mu.Unlock()
	_, err := publisher.ask(ctx, orderForward, janus.Object{"forwarders": entries})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		publisher.dropForwarders(list)
		return nil, err
	}
	taken, refused := []*forwarder{}, []*forwarder{}
	for _, f := range list {
		switch {
		case f.pending:
			refused = append(refused, f)
		case publisher.forwarders[f.id] == f:
			taken = append(taken, f)
		}
	}
	publisher.dropForwarders(refused)
	return taken, nil
}

// doNoteForwarders remembers forwarders of a publisher of this node that another node runs.
func (p *Plugin) doNoteForwarders(t *participant, body janus.Object) (object, func(context.Context), error) {
	var list []forwarderEntry
	if b, err := json.Marshal(body["forwarders"]); err != nil || json.Unmarshal(b, &list) != nil {
		return nil, nil, refuse(codeInvalidElement, "Invalid element (forwarders)")
	}
	if len(t.forwarders)+len(list) > maxForwarders {
		return nil, nil, refuse(codeUnknown, "Too many forwarders")
	}
	for i := range list {
		if list[i].check() != nil || t.forwarders[list[i].ID] != nil {
			return nil, nil, refuse(codeInvalidElement, "Invalid element (forwarders)")
		}
	}
	for i := range list {
		if st := t.stream(list[i].Mid); st != nil {
			t.keepForwarder(list[i].forwarder(st))
		}
	}
	return nil, nil, nil
}
