// Package session lets any node take any session's request: it knows which node owns a session and passes requests there.
//
// It knows nothing of what sessions are: a session is an id, a request and an event are bytes, and what serves them is given
// as functions, see [Local].
//
// # Who owns a session
//
// The two live nodes with the highest rendezvous hash of (session, node) keep its record: owner, epoch, and the nodes where
// its media is. The owner announces its sessions to them when they begin, change and end, whenever the set of live nodes
// changes, and once a minute. A node that needs a session's owner asks both. A session that is not known is asked for again
// for half a second, since its announcement may be slower than its client.
//
// [Sessions.Take] makes this node the owner of a session that another had. The epoch grows with each owner, and ends with some
// bits of the owner's name so that no two owners have the same: of two claims to a session the one with the higher epoch
// counts everywhere. An owner that was thought dead is told when it announces, and gives the session up ([Local].Lost).
//
// # How requests are passed
//
// A client that polls (HTTP) has each request passed as a call of its own. A link answers some hundreds of calls at a time, so
// that calls are short and bounded for each session and node, and polls, which wait, go as notices and are answered by calls in
// the other direction. A connection (WebSocket) needs order,
// of its requests and between replies and events, so all of that goes as notices, which a link keeps in order. Requests and
// messages are numbered for each connection and node. Whoever sees a gap, or a connection that it does not know, says so, and
// the client's connection is cut: the client connects and claims its sessions again, as it does when a connection breaks.
//
// A connection may have [maxRequests] requests at one node that are not answered; then its reader waits. What is sent to a
// connection and was not taken by its node is bounded as well; a connection further behind is cut, as a slow client is. So
// no client can fill a link.
//
// # Locks
//
// Sessions.mu first, then outlet.mu. No function of Local, of a connection or of Config is called with Sessions.mu held;
// Config.Notify is called with outlet.mu held, which keeps messages in order.
package session
