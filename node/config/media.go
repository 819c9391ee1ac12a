package config

import (
	"net/netip"
	"time"
)

// Media is what clients send and receive: one port for everything, shared with STUN and TURN.
type Media struct {
	// Addresses are the local addresses offered to clients. Empty: node.bind, else every address of the host that others
	// can reach (loopback only when there is no other).
	Addresses []netip.Addr `yaml:"addresses"`
	// Port is the UDP port on each of them.
	Port uint16 `yaml:"port"`
	// TCP opens the same port for TCP (ICE over TCP, TURN over TCP), for networks that block UDP.
	TCP bool `yaml:"tcp"`
	// Sockets is how many UDP sockets share the port on each address, each with a loop of its own. 0: one for
	// every two cores, at most 16. More spread the work wider, and split the bursts that make sending cheap.
	Sockets int `yaml:"sockets"`
	// ReadBuffer is the kernel's receive buffer of each socket. Too small drops packets in bursts; the kernel's
	// net.core.rmem_max must allow it unless the node runs with CAP_NET_ADMIN.
	ReadBuffer Size `yaml:"read_buffer"`
	// WriteBuffer is the kernel's send buffer of each socket (net.core.wmem_max).
	WriteBuffer Size `yaml:"write_buffer"`
	// KeepPrivate offers local addresses beside the ones of node.advertise, for clients on the node's own network. It
	// shows them to everybody.
	KeepPrivate bool `yaml:"keep_private"`
	// StartBitrate is what a subscriber's network is taken to bear until it has been measured.
	StartBitrate Bitrate `yaml:"start_bitrate"`
	// MinBitrate is the least the estimate for a subscriber falls to; audio is sent even below it.
	MinBitrate Bitrate `yaml:"min_bitrate"`
	// MaxBitrate is the most the estimate for a subscriber rises to.
	MaxBitrate Bitrate `yaml:"max_bitrate"`
	// HoldLayers asks simulcast publishers (by REMB) not to send layers that nobody on any node wants. It saves most of their uplink;
	// who wants such a layer again waits some hundredths of a second for the client to send it.
	HoldLayers bool `yaml:"hold_layers"`
}

// TURN is the STUN and TURN server. STUN answers everybody; without users and secrets TURN relays to this node alone, for
// visitors of the console's page.
type TURN struct {
	// Enabled says whether the node relays at all.
	Enabled bool `yaml:"enabled"`
	// Realm is the realm of the credentials. Changing it makes clients authenticate anew.
	Realm string `yaml:"realm"`
	// Users lists long-term credentials, each NAME:PASSWORD.
	Users []Secret `yaml:"users"`
	// Secrets lists keys of time-limited credentials (REST API: user EXPIRY:NAME, password base64 HMAC-SHA1). Several are
	// valid at once, so that they can be changed without a gap.
	Secrets []Secret `yaml:"secrets"`
	// RelayAddresses are the local addresses relays are opened on. Empty: those of the media.
	RelayAddresses []netip.Addr `yaml:"relay_addresses"`
	// MinPort is the first UDP port used for relays.
	MinPort uint16 `yaml:"min_port"`
	// MaxPort is the last UDP port used for relays; each allocation takes one.
	MaxPort uint16 `yaml:"max_port"`
	// AllowedPeers lists networks (or addresses) that relays may reach although a rule denies them. It wins over everything.
	AllowedPeers []Network `yaml:"allowed_peers"`
	// DeniedPeers lists networks that relays may not reach, beyond those denied anyway: loopback, link-local, private,
	// multicast and unspecified addresses.
	DeniedPeers []Network `yaml:"denied_peers"`
	// UserQuota is how many allocations one user may hold; 0 sets no limit.
	UserQuota int `yaml:"user_quota"`
	// TotalQuota is how many allocations there may be; 0 sets no limit but the ports.
	TotalQuota int `yaml:"total_quota"`
	// MaxLifetime is the longest lifetime an allocation is given at once; clients refresh it.
	MaxLifetime time.Duration `yaml:"max_lifetime"`
	// TLSPort is the port of TURN over TLS (TCP), opened when tls.certificate is set; 0 opens none.
	TLSPort uint16 `yaml:"tls_port"`
	// DTLS opens the same port for TURN over DTLS (UDP).
	DTLS bool `yaml:"dtls"`
}
