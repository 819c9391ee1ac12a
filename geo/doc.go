// Package geo finds the node that serves a client best.
//
// It knows where clients are ([Locator]: MMDB files, or what they say themselves), orders nodes for one ([Choose], which is pure), counts who
// was sent where ([Chooser]), and answers browsers ([Nearest]: GET /nearest, nearest.js, probes). Package dns below it answers
// resolvers. What nodes there are, and where the participants of rooms are, it is told.
//
// # Which node
//
// The best node is the one of the lowest cost, in time:
//
//	round trip between client and node      measured by the client, else 4 ms and 14 µs for each km
//	+ the way on to the others of the room  their nodes' mean round trip, 3 ms for the hop, a quarter of the client's own way
//	+ load                                  6 ms at half of it, 24 ms at four fifths, 194 ms at the end
//
// Between nodes their coordinates count (measured by gossip), else the map, else regions. The quarter is there because what is lost
// between a client and its node is repaired from end to end, and what is lost between nodes by these; without it everybody would be
// sent to the node of whoever came first. Nodes that drain or refuse are left out; those that are probably full come last.
//
// # Spreading
//
// Load is what a node said last, by gossip, which is ten seconds old and more. To it are added the clients that this node has sent there
// since, each as a part of the node's capacity. Nodes within 5 ms of the best (2 ms in a room) count as equally good, and clients are dealt
// out among them in proportion to what they have left. So thousands who arrive in one second from one city fill the nodes of their city
// evenly, and then those of the next.
//
// # What is not known
//
// A database of countries says of a client in Seattle that it is in the United States. [Scatter] puts those nodes next in the list each of
// which might be the best, as far as one knows, far from each other; the client measures them. Where nothing at all is known the client
// counts as near to the node that it asks, measures up to eight nodes all over the world, and asks for those around the best of them.
package geo
