package relay

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
)

const (
	// keyframeInterval is the least time between two keyframe requests that one forwarder passes on, ns: what comes faster
	// costs no lock. How often the publisher is asked is decided where all wishes meet.
	keyframeInterval = int64(100 * time.Millisecond)
	// maxAsked bounds the requests that are looked at of one datagram, which has room for some hundred.
	maxAsked = 16
)

// receivers knows the forwarders whose receivers send RTCP, by host. It comes to the media port that the forwarded packets leave
// from, so a host may ask for keyframes of what it is sent, and nobody else may. Lookups take no lock.
type receivers struct {
	mu     sync.Mutex // of those who change it
	byHost atomic.Pointer[map[netip.Addr][]*forwarder]
}

// change replaces the forwarders of a host by what f makes of a copy.
func (r *receivers) change(host netip.Addr, f func([]*forwarder) []*forwarder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hosts := map[netip.Addr][]*forwarder{}
	if old := r.byHost.Load(); old != nil {
		hosts = maps.Clone(*old)
	}
	if list := f(slices.Clone(hosts[host])); len(list) > 0 {
		hosts[host] = list
	} else {
		delete(hosts, host)
	}
	r.byHost.Store(&hosts)
}

func (r *receivers) add(f *forwarder) {
	r.change(f.to.Addr(), func(list []*forwarder) []*forwarder { return append(list, f) })
}

func (r *receivers) remove(f *forwarder) {
	r.change(f.to.Addr(), func(list []*forwarder) []*forwarder {
		return slices.DeleteFunc(list, func(o *forwarder) bool { return o == f })
	})
}

// of returns the forwarders to a host; the slice is not to be changed.
func (r *receivers) of(host netip.Addr) []*forwarder {
	if hosts := r.byHost.Load(); hosts != nil {
		return (*hosts)[host]
	}
	return nil
}

// feedback takes what came to a media port from no client. It reports whether it was RTCP of a host that is forwarded to. Only
// PLI and FIR count; what else a receiver reports concerns a path that nothing is sent again on.
func (r *receivers) feedback(b []byte, from netip.AddrPort, now int64) bool {
	list := r.of(from.Addr())
	if len(list) == 0 || !rtcp.IsRTCP(b) {
		return false
	}
	for asked := 0; asked < maxAsked && len(b) > 0; {
		var p rtcp.Packet
		var err error
		if p, b, err = rtcp.Next(b); err != nil {
			break // what follows encrypted feedback is no RTCP; its kind stood in the clear
		}
		switch p.Kind() { //nolint:exhaustive // see above
		case rtcp.PLI:
			asked++
			keyframe(list, p.Media, from.Port(), now)
		case rtcp.FIR:
			for entries := p.FIRs(); asked < maxAsked; asked++ {
				ssrc, _, ok := entries.Next()
				if !ok {
					break
				}
				keyframe(list, ssrc, from.Port(), now)
			}
		}
	}
	return true
}

// keyframe asks for what is sent to one host under an SSRC; if nothing is, for what belongs to the RTCP port that the request
// came from: some receivers do not say what they mean, or encrypt it under a key of their own.
func keyframe(list []*forwarder, ssrc uint32, port uint16, now int64) {
	meant := false
	for _, f := range list {
		if ssrc != 0 && f.sends.Load() == ssrc {
			f.requestKeyframe(now)
			meant = true
		}
	}
	if meant {
		return
	}
	for _, f := range list {
		if f.cfg.RTCPPort == port {
			f.requestKeyframe(now)
		}
	}
}

// requestKeyframe asks for a keyframe of what is forwarded, wherever that is published.
func (f *forwarder) requestKeyframe(now int64) {
	last := f.asked.Load()
	if last != 0 && now-last < keyframeInterval || !f.asked.CompareAndSwap(last, now) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream == nil || f.stream.Config().Kind != plane.Video {
		return
	}
	f.stream.Lock()
	layers := f.Layers(now)
	f.stream.Unlock()
	f.stream.RequestKeyframes(layers)
}

// latch sends two empty RTP packets to the receiver's RTCP port, as Janus does: by them it learns where to send RTCP.
func (f *forwarder) latch() {
	b := rtp.AppendHeader(nil, &rtp.Header{})
	for range 2 {
		_ = f.relay.sockets[f.socket].WriteTo(b, netip.AddrPortFrom(f.to.Addr(), f.cfg.RTCPPort)) // what gets lost, the host does not miss: it sees where RTP comes from
	}
}
