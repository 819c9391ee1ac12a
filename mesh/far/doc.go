// Package far carries the seam between signaling and media, [plane.Plane], to other nodes.
//
// At the media node a [Server] exposes the node's plane to the signaling of all nodes, its own included. At the signaling
// node [Planes] is the plane that signaling is given: it opens each peer at the media node that suits its client, sends the
// calls for a peer where the peer is, and merges the events of all nodes under numbers of its own.
//
// # On the wire
//
// A call of the plane is a call on a link, of a kind of its own, see [KindOpen]. What is asked and answered are the types of
// package plane, whose fields have numbers for it, in an envelope that names the caller's lease and numbers its calls. Errors
// travel as codes, so that errors.Is finds plane's at the other end. Events are asked for with the caller's position; the
// answer waits until there are some, at most [pollTime].
//
// # Leases
//
// What a signaling node does at a media node it does under a lease: a number that it draws when it first uses the node. Peers
// belong to the lease that opened them. Each lease has an event log of its own, so that a signaling node is told of its own
// peers only and a slow one harms no other. A lease whose holder is not heard of for [ServerConfig.Grace] ends: a process that
// died, one that drew a new lease since (it restarted, or had given the media node up), one that cannot reach us. Then its
// peers are closed, but for those that another lease adopted meanwhile: that is how media outlives signaling.
//
// A caller that does not know whether a call arrived makes it again under the same number. A call that arrives after a later
// one for the same peer, or after the peer was closed, is refused with plane.ErrStale: streams of a link keep no order.
//
// # Locks
//
// Server.mu and Planes.mu are never held while a plane is called or waited for. eventLog.mu is a leaf.
package far
