package janus

import (
	"context"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// Plugin is what clients attach handles to, as in Janus. Its methods are safe for concurrent use.
type Plugin interface {
	// Info describes the plugin; it is constant.
	Info() PluginInfo
	// Attach makes the plugin's side of a new handle. An error refuses the handle (JANUS_ERROR_PLUGIN_ATTACH, 461).
	// It must not call methods of h that wait; Push has no one to deliver to yet.
	Attach(h *Handle) (Instance, error)
}

// PluginInfo is what the info request tells of a plugin.
type PluginInfo struct {
	Package       string // "janus.plugin.echotest": what clients attach to
	Name          string
	Author        string
	Description   string
	VersionString string
	Version       int
	Hint          string // the "hint" in acknowledgements of its asynchronous requests; "" for none
}

// Instance is a plugin's side of one handle. The core calls its methods one at a time, in the order in which things
// happened to the handle; only Query may be called at any time. A panic in a method ends the handle's session and
// nothing else. Contexts are cancelled when the session is over.
type Instance interface {
	// Sync handles a request that is answered at once: data is what the "success" carries as plugindata.data.
	// handled=false means that the core acknowledges the request and calls Async with the same message.
	Sync(ctx context.Context, m *Message) (data any, handled bool)
	// Async handles a request that was acknowledged; it answers with h.Push(m.Transaction, data, jsep).
	Async(ctx context.Context, m *Message)
	// Media tells of the peer: up (before the client's webrtcup), receiving, slow link, layers, talking.
	Media(ctx context.Context, e plane.Event)
	// Hangup tells that the PeerConnection is gone: once for each, before the client's hangup event, and also when
	// the client hangs up a handle that has none. The core closes the plane's peer.
	Hangup(ctx context.Context)
	// Detach tells that the handle is going away; no call follows. Hangup has been called if there was a PeerConnection.
	Detach(ctx context.Context)
	// Query returns what the admin API's handle_info shows as plugin_specific. It may be called from any goroutine.
	Query() any
}

// Message is one message of a client to a plugin.
type Message struct {
	Transaction string
	Body        Object
	JSEP        *JSEP  // nil without
	Token       string // the token the request carried, "" for none
}

// JSEP is one end's session description, as a request or an event carries it.
type JSEP struct {
	Type     string           // "offer" or "answer"
	SDP      *sdp.Description // parsed
	Text     string           // the SDP as it was written
	E2EE     bool             // media is encrypted end to end
	Update   bool             // renegotiates a PeerConnection that exists
	Restart  bool             // of a client's offer: its ICE credentials changed
	Trickle  bool             // of a client: candidates may follow
	RIDOrder string           // of a client: "hml" (the first rid listed is the best) or "lmh"
	SVC      []SVC            // of a client: lines that carry spatial layers in one encoding
}

// SVC says that a line of the client carries SVC layers.
type SVC struct {
	MIndex int    // index of the m-line; -1 when the client named only the mid
	Mid    string // "" when the client named only the index
	Mode   string // "L3T3" and so on
}
