package videoroom

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

const (
	// maxForwarders bounds the forwarders of a publisher.
	maxForwarders = 128
	// resolveTime bounds the look-up of a host's name, maxLookups how many there are at once.
	resolveTime = 3 * time.Second
	maxLookups  = 16
)

// forwarder copies a stream to a UDP address. It is run by the node that was asked for it, which need not be the publisher's:
// an address may mean something on that node only.
type forwarder struct {
	elsewhere bool   // another node runs it; set once
	pending   bool   // this node runs it, but the publisher's does not know yet; guarded by the room's mutex
	localRTCP uint16 // port of the media plane that takes the receiver's RTCP, 0 while that is not known; guarded by the room's mutex

	// All of these are set once.
	id       uint32
	name     string // in the media plane
	stream   *stream
	host     netip.Addr
	port     uint16
	rtcpPort uint16 // remote, 0 for none
	pt       uint8  // 0 keeps the publisher's
	ssrc     uint32 // 0 keeps the publisher's
	follow   bool   // the best simulcast substream, not a certain one
	layer    int    // that one
	srtp     srtp
	remote   string // the remotization it belongs to, "" for none
}

// srtp says how a forwarder encrypts; the zero value that it does not.
type srtp struct {
	suite  int // 32 or 80
	key    []byte
	hidden bool // said of one stream only: Janus does not tell of that
}

// forwarderInfo is what is told of a forwarder.
type forwarderInfo struct {
	StreamID       uint32 `json:"stream_id"`
	Host           string `json:"host"`
	Port           uint16 `json:"port"`
	Type           string `json:"type"`
	LocalRTCPPort  uint16 `json:"local_rtcp_port,omitempty"`
	RemoteRTCPPort uint16 `json:"remote_rtcp_port,omitempty"`
	PayloadType    uint8  `json:"pt,omitempty"`
	SSRC           uint32 `json:"ssrc,omitempty"`
	Substream      int    `json:"substream,omitempty"`
	SRTP           bool   `json:"srtp,omitempty"`
}

func (f *forwarder) info() forwarderInfo {
	i := forwarderInfo{
		StreamID: f.id, Host: f.host.String(), Port: f.port, Type: f.stream.kind.String(),
		PayloadType: f.pt, SSRC: f.ssrc, Substream: f.layer, SRTP: f.srtp.suite != 0 && !f.srtp.hidden,
	}
	if f.layer == 0 { // it is one for all substreams
		i.LocalRTCPPort, i.RemoteRTCPPort = f.localRTCP, f.rtcpPort
	}
	return i
}

// forwarderInfos is what is told of forwarders in the room.
func (r *room) forwarderInfos(list []*forwarder) []forwarderInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	infos := make([]forwarderInfo, 0, len(list))
	for _, f := range list {
		infos = append(infos, f.info())
	}
	return infos
}

// planned is what the media plane is told of the forwarder.
func (f *forwarder) planned() plane.Forwarder {
	p := plane.Forwarder{
		ID: f.name, Stream: f.stream.id(), Address: netip.AddrPortFrom(f.host, f.port).String(), PayloadType: f.pt,
		SSRC: f.ssrc, Substream: -1, SRTPSuite: f.srtp.suite, SRTPKey: f.srtp.key, RTCPPort: f.rtcpPort,
	}
	switch {
	case f.follow && p.SSRC == 0:
		p.SSRC = f.id // several substreams need one SSRC
	case !f.follow && f.stream.simulcast:
		p.Substream = int8(f.layer)
	}
	return p
}

// addForwarder registers a forwarder with its publisher.
func (p *participant) addForwarder(f *forwarder) error {
	if len(p.forwarders) >= maxForwarders {
		return refuse(codeUnknown, "Too many forwarders")
	}
	f.id = random32(func(n uint32) bool { return p.forwarders[n] != nil })
	f.pending = p.remote
	p.keepForwarder(f)
	return nil
}

// dropForwarders forgets forwarders that come to nothing.
func (p *participant) dropForwarders(list []*forwarder) {
	for _, f := range list {
		if p.forwarders[f.id] == f {
			delete(p.forwarders, f.id)
		}
	}
}

func (p *participant) keepForwarder(f *forwarder) {
	f.name = fmt.Sprintf("%s/%s/%d", p.room.name(), p.id, f.id)
	p.forwarders[f.id] = f
}

// resolve finds the address of a host. Names are looked up only for those who may manage the room of the request: nobody
// else is to make the node ask around.
func (p *Plugin) resolve(ctx context.Context, body janus.Object, host, family string) (netip.Addr, error) {
	network := "ip"
	switch strings.ToLower(family) {
	case "":
	case "ipv4":
		network = "ip4"
	case "ipv6":
		network = "ip6"
	default:
		return netip.Addr{}, refuse(codeInvalidElement, "Unsupported protocol family (%s)", family)
	}
	unresolved := refuse(codeInvalidElement, "Could not resolve address (%s)...", host)
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		if network == "ip4" && !a.Is4() || network == "ip6" && a.Is4() || a.Zone() != "" {
			return netip.Addr{}, unresolved
		}
		return a, nil
	}
	if host == "" || strings.Trim(host, "0123456789.") == "" {
		return netip.Addr{}, unresolved // meant as an address: no name ends in a number
	}
	if _, err := p.manage(ctx, body, func(*room) (object, error) { return nil, nil }); err != nil {
		return netip.Addr{}, err
	}
	select {
	case p.lookups <- struct{}{}:
		defer func() { <-p.lookups }()
	default: // each holds a request and all it carries for seconds
		return netip.Addr{}, refuse(codeUnknown, "Too many look-ups of names at once")
	}
	resolver := p.cfg.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addrs, err := resolver.LookupNetIP(ctx, network, host)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, unresolved
	}
	return addrs[0].Unmap(), nil
}

// startForwarders tells the media plane of forwarders. The room must not be locked.
func startForwarders(ctx context.Context, media plane.Plane, log *slog.Logger, list []*forwarder) {
	for _, f := range list {
		port, err := media.Forward(ctx, f.planned())
		if err != nil {
			log.Warn("stream not forwarded", "mid", f.stream.mid, "to", f.host.String()+":"+strconv.Itoa(int(f.port)), "error", err)
			continue
		}
		room := f.stream.owner.room
		room.mu.Lock()
		f.localRTCP = port
		room.mu.Unlock()
		if f.stream.kind == plane.Video {
			if err := media.Keyframe(ctx, f.stream.id()); err != nil {
				log.Debug("keyframe not requested", "mid", f.stream.mid, "error", err)
			}
		}
	}
}

// stopForwarders ends forwarders of this node by their names in the media plane.
func (p *Plugin) stopForwarders(ctx context.Context, names []string) {
	media := p.media.Load()
	if media == nil {
		return // nothing was ever forwarded
	}
	for _, name := range names {
		if err := (*media).StopForward(ctx, name); err != nil {
			p.log.Warn("forwarder not stopped", "error", err)
		}
	}
}
