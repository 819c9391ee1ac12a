// Package mesh makes one mesh of the node and the others: it joins who is there, the links to them, the rooms they share, the
// ways between them, and what goes along these.
//
//	member   who is there                           gossip, invitations, certificates
//	link     what connects two nodes (relay/link)   QUIC over the shield
//	room     which rooms there are, who is in them  records at three nodes each, rosters at one
//	route    which way to go                        from what all have measured
//	pull     streams that somebody here wants       asked of a parent, passed on to children
//	post     data-channel messages                  SCTP between their publisher's node and their listeners'
//	detour   what rooms say where a way is cut      signed parcels by way of nodes that reach both
//	far      media at another node                  the seam, over links
//	session  which node a client's session is at    any node takes any request, and adopts what a dead one had
//
// Each of these decides for itself and knows the others by functions that it was given. Here they are given them, and what
// one finds out is passed on to the rest: membership to all of them, what links measure to route, who publishes what to pull
// and post.
package mesh
