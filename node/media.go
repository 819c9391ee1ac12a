package node

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"strings"

	"cardea/node/config"
	"cardea/relay"
	"cardea/relay/bwe"
	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/turn"
)

// maxMediaSockets bounds the sockets per address when their number is left to us.
const maxMediaSockets = 16

// listenMedia binds the media plane's ports.
func (n *Node) listenMedia() error {
	if !n.cfg.Node.Has(config.PlaneMedia) {
		return nil
	}
	addresses, err := mediaAddresses(n.cfg)
	if err != nil {
		return err
	}
	c := n.cfg.Media
	sockets := c.Sockets
	if sockets == 0 {
		sockets = min(max(runtime.GOMAXPROCS(0)/2, 1), maxMediaSockets)
	}
	rc := relay.Config{
		Addresses: addresses, Port: c.Port, Sockets: sockets, TCP: c.TCP,
		ReadBuffer: int(c.ReadBuffer), WriteBuffer: int(c.WriteBuffer),
		Advertise: mappings(n.cfg), TLS: n.tls,
		Bandwidth: bwe.Config{Start: uint64(c.StartBitrate), Min: uint64(c.MinBitrate), Max: uint64(c.MaxBitrate)}, Log: n.log.With("plane", "media"),
		Quality: func(q *plane.Quality) { n.meters.observe(sourceServer, q) }, Reached: n.meters.reached, QualityInterval: n.cfg.Quality.Interval,
		SendAllLayers: !c.HoldLayers,
	}
	if n.cfg.ServesTURN() {
		rc.TURN = turnConfig(n.cfg, addresses, rc.Advertise, n)
		n.pageTURN = newPageTURN(n.cfg, rc.TURN.GuestSecret, rc.TURN.MeshAddresses, rc.TURN.TLS != nil)
	}
	if rc.TURN != nil {
		n.ownMedia = rc.TURN.MeshAddresses
	}
	n.media, err = relay.New(rc)
	if err != nil {
		if hint := portHint(addresses[0], err); hint != "" {
			return fmt.Errorf("%w: media.port, turn.tls_port: %w%s", ErrPort, err, hint)
		}
		return err
	}
	n.services = append(n.services, service{"media", n.media.Run})
	n.changeTURN(n.media.TURN())
	n.addMediaFigures()
	return nil
}

// warnBuffers tells where the kernel gave less than was asked for.
func (n *Node) warnBuffers() {
	if n.media == nil {
		return
	}
	warn := func(address netip.AddrPort, which string, got, want int) {
		if got < want {
			n.log.Warn("small socket buffer: bursts may be lost (raise net.core.rmem_max and wmem_max)",
				"address", address, "buffer", which, "bytes", got, "wanted", want)
		}
	}
	for _, s := range n.media.Sockets() {
		read, write := s.Buffers()
		warn(s.LocalAddr(), "receive", read, int(n.cfg.Media.ReadBuffer))
		warn(s.LocalAddr(), "send", write, int(n.cfg.Media.WriteBuffer))
	}
}

func mappings(cfg *config.Config) []ice.Mapping {
	var all []ice.Mapping
	for _, m := range cfg.Node.Advertise {
		all = append(all, ice.Mapping{Public: m.Public, Private: m.Local, KeepPrivate: cfg.Media.KeepPrivate})
	}
	return all
}

// changeTURN lets credentials and rules of the TURN server change; nil is no server.
func (n *Node) changeTURN(server *turn.Server) {
	if server == nil {
		return
	}
	n.changeable(func(c *config.Config) { server.SetCredentials(turnCredentials(c)) }, "turn.users", "turn.secrets")
	n.changeable(func(c *config.Config) { server.SetPeers(prefixes(c.TURN.AllowedPeers), prefixes(c.TURN.DeniedPeers)) },
		"turn.allowed_peers", "turn.denied_peers")
}

// turnCredentials are the users with their passwords, and the secrets that mint short-lived credentials.
func turnCredentials(c *config.Config) (users map[string]string, secrets []string) {
	users = make(map[string]string)
	for _, u := range c.TURN.Users {
		name, password, _ := strings.Cut(string(u), ":")
		users[name] = password
	}
	for _, s := range c.TURN.Secrets {
		secrets = append(secrets, string(s))
	}
	return users, secrets
}

// turnConfig returns the TURN server's configuration. Its guests are the visitors of the console's page, by a secret of this
// process's own: they can relay to the node itself alone, and with nothing configured nobody else can relay at all.
func turnConfig(cfg *config.Config, media []netip.Addr, advertise []ice.Mapping, n *Node) *turn.Config {
	t := turn.Default()
	c := cfg.TURN
	t.Realm, t.MinPort, t.MaxPort = c.Realm, c.MinPort, c.MaxPort
	t.MaxLifetime, t.UserQuota, t.TotalQuota = c.MaxLifetime, c.UserQuota, c.TotalQuota
	t.DefaultLifetime = min(t.DefaultLifetime, t.MaxLifetime)
	t.Users, t.Secrets = turnCredentials(cfg)
	var own [32]byte
	_, _ = rand.Read(own[:]) // it never fails
	t.GuestSecret = hex.EncodeToString(own[:])
	t.GuestQuota = max((int(t.MaxPort)-int(t.MinPort)+1)/4, 1) // the other ports are for those who were let in
	if t.Relay = c.RelayAddresses; len(t.Relay) == 0 {
		t.Relay = media
	}
	t.AllowPeers, t.DenyPeers = prefixes(c.AllowedPeers), prefixes(c.DeniedPeers)
	t.Advertise = make(map[netip.Addr]netip.Addr)
	for _, a := range t.Relay {
		for _, m := range advertise {
			if m.Public.Is4() == a.Is4() && (m.Private == a || !m.Private.IsValid()) {
				t.Advertise[a] = m.Public
			}
		}
	}
	// This node's own media addresses, as its candidates name them: what a call forced to relay must reach.
	for _, candidate := range ice.Candidates(media, advertise, cfg.Media.Port, 0) {
		if a, err := netip.ParseAddr(candidate.Address); err == nil {
			t.MeshAddresses = append(t.MeshAddresses, netip.AddrPortFrom(a, candidate.Port))
		}
	}
	if n.tls != nil && c.TLSPort != 0 {
		t.TLS = n.tls
		for _, a := range media {
			t.Secure = append(t.Secure, netip.AddrPortFrom(a, c.TLSPort))
		}
	}
	t.Log = n.log.With("plane", "turn")
	return &t
}
