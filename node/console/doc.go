// Package console is the HTTP server for people and their tools: a page with a call to try, health, metrics and the
// node's state as JSON. It knows no plane: what it shows it is given as plain data.
//
//	GET /                                    the page: a call                                  open to everybody
//	GET /console/                            the page: all nodes and rooms                     open; what it shows is closed
//	GET /healthz                             200 while the process serves                      open
//	GET /readyz                              200 when new clients are welcome, else 503        open
//	GET /api/v1/page                         what the page must know: ports, TURN [Page]       open
//	GET /api/v1/peers/{session}/{handle}     what the node sees of a client's media [Peer]     to who knows the session id
//	GET /api/v1/status                       the node's state [Status]                         closed
//	GET /api/v1/rooms                        all rooms [Rooms]; with search, sort (participants,
//	                                         room), offset or limit a part of them [RoomPage]  closed
//	GET /api/v1/room                         one room: plugin, room, and search, offset, limit
//	                                         of participants [RoomView]                        closed
//	GET /api/v1/nodes                        all nodes of the mesh [MeshNodes]                 closed
//	GET /api/v1/streams                      streams that come from others [MeshStreams]       closed
//	GET /api/v1/overview                     all nodes and the links between them [Overview]   closed
//	GET /api/v1/operator                     what the visitor may do [Operating]               closed
//	POST /api/v1/operator/login, /logout     {"password"}, {}: sets and ends a cookie          closed
//	POST /api/v1/operator/drain              {"node", "undo"}                                  closed, with that cookie
//	POST /api/v1/operator/kick               {"plugin", "room", "participant"}                 closed, with that cookie
//	POST /api/v1/invitations                 an invitation [InviteRequest] [Invited]           closed, by address
//	POST /api/v1/drain                       has a node end [DrainRequest] [Drained]           closed, by address
//	POST /api/v1/expel                       ends a node's membership [ExpelRequest]
//	                                         [Expulsion]                                       closed, by address
//	POST /api/v1/keys/rotate                 new gossip keys                                   closed, by address
//	GET /metrics                             Prometheus                                        closed
//	GET /debug/pprof/                        profiles of the running program                   closed
//
// Closed means: from an allowed network, or with the token. A request that came through a proxy is a stranger's,
// whatever address the proxy has. Requests from loopback must name the host by its address or as localhost, so that no
// web page gets at them by pointing its own name to 127.0.0.1; by address means that this holds from everywhere, but with
// the token. POSTs must be JSON and must not come from a page of another origin. A session id is as good as a token: 53 random
// bits that only the session's client knows, and that no answer here has. A source that shows too many wrong tokens waits before it is listened to
// again. What an operator may do needs the password as well, whose attempts are few for each source and
// for all together; its cookie (SameSite=Strict, no script reads it) is known to this process alone and ends with it. The TURN credentials of the page are worth little: they expire after minutes, lead to this
// node's media and nowhere else, and are made for each source at a bounded rate; beyond it the page does without.
package console
