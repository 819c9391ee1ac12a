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

// Portable is an [Instance] whose handle can go on at another node while its media flows on. Its plugin is a [Heir]. The
// handle of an instance that is none ends when its session changes nodes.
type Portable interface {
	Instance
	// Snapshot returns what Restore needs to make the instance anew, in a form that the next version of the program
	// understands as well; at most some tens of kilobytes. It is called in the handle's turn, after things that may have
	// changed the instance, so it should be cheap. An error means that there is nothing to restore.
	Snapshot() ([]byte, error)
	// Release tells that the handle goes on at another node; no call follows, instead of Hangup and Detach. What the
	// instance has in this process is given up; what it has in the mesh (its place in a room) is the other's now and must not be
	// taken from it, and nobody is told that the participant left. The media plane refuses calls for its peer already.
	Release(ctx context.Context)
}

// Heir is a [Plugin] whose instances are [Portable].
type Heir interface {
	Plugin
	// Restore makes the instance of a handle that another node had from the last Snapshot of the one there. The handle is
	// whole: its PeerConnection, if it had one, is the one that the snapshot speaks of and goes on to flow. Restore calls
	// h.Publish and h.Subscribe with what it wants, which does no harm where nothing changed, and may wait, until ctx is done.
	// It runs in the handle's turn; then comes what happened to the peer meanwhile (Media with EventUp if it came up,
	// Hangup if it is gone), and then the client's requests. With an error, the handle is detached and its PeerConnection
	// closed; the client is told so by the events of a detached handle.
	//
	// Several snapshots may have been taken since; what the client was told of later changes is not known. Others are in the
	// same position, since the node that had the handle is gone: what it had said of the participant may be
	// forgotten in the mesh already and is said again.
	Restore(ctx context.Context, h *Handle, state []byte) (Instance, error)
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
