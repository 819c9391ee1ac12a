// Package janus is the core of the Janus API: sessions, handles, transactions, session descriptions, trickled
// candidates and the events of the media plane, as seen by clients.
//
// It knows no transport and no plugin. A transport parses requests with [Parse], gives each to [Server.Handle] and
// delivers the events of the sessions that its [Source] owns; a [Plugin] makes one [Instance] a handle and talks back
// through the [Handle]. The media plane is reached through [plane.Plane] alone.
//
// # Order
//
// Everything that happens to a handle (messages, events of the media plane, hangup, detach) waits in the handle's turn
// and is worked on one after the other by a goroutine that exists only while there is something to do. What concerns
// the session (keepalive, attach, destroy, claim) and trickled candidates are answered at once. So an ack precedes the
// event that follows it, the plugin knows that the PeerConnection is up before the client is told, and a client's
// events are in the order in which they happened.
//
// # Several nodes
//
// A session belongs to one node, its owner; requests that come to another are passed on through [Mesh], and what the owner says
// comes back that way. A claim at another node moves only where events go. Media may be at any node, too, and outlives its
// session's owner: the core keeps a snapshot of each handle beside its peer, and when the owner is gone, the node where the
// client claims the session adopts it: it becomes the owner, makes the handles anew from what is kept (see [Portable] and
// [Heir]), and looks at the state of their peers. An owner that was thought gone loses the session then, whatever it believes.
// A node that drains does the same on purpose ([Server.Drain]): it closes connections in good order, and yields a session with media to
// the node where its client claims it.
//
// # Events
//
// What happens to sessions, handles and PeerConnections is told on [Config.Events] in the words of Janus's event handlers, in the
// handle's turn and so in the order of section "Order"; of a session's end after those of its handles. Nothing is made of what nobody
// takes. A session that goes on at another node is told of neither as ended nor as created; one that ends with its
// connection, for lack of a reclaim timeout, ends silently, as in Janus. ICE has one stream and one component, and is told to be
// "connected" and "ready" at once. Media figures are what the plane counts of a peer, asked for each period and at the end.
//
// # Locks
//
// keeping.mu before Server.mu before Session.mu before Source.mu; peer.mu before those of the media plane. Handle.mu,
// trickles.mu, keeper.mu and adoptions.mu are leaves, as are the mesh's own locks. No plugin is called and the media plane not waited for with any of them held, but for peer.mu, whose purpose
// is to order the calls for one peer.
package janus
