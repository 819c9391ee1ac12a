// Package console is the HTTP server for people and their tools: a page with a call to try, health, metrics and the
// node's state as JSON. It knows no plane: what it shows it is given as plain data.
//
//	GET /                                    the page                                          open to everybody
//	GET /healthz                             200 while the process serves                      open
//	GET /readyz                              200 when new clients are welcome, else 503        open
//	GET /api/v1/page                         what the page must know: ports, TURN [Page]       open
//	GET /api/v1/peers/{session}/{handle}     what the node sees of a client's media [Peer]     to who knows the session id
//	GET /api/v1/status                       the node's state [Status]                         closed
//	GET /api/v1/rooms                        the rooms on it [Rooms]                           closed
//	GET /api/v1/nodes                        all nodes of the mesh [MeshNodes]                 closed
//	GET /api/v1/streams                      streams that come from others [MeshStreams]       closed
//	POST /api/v1/invitations                 an invitation [InviteRequest] [Invited]           closed
//	POST /api/v1/keys/rotate                 new gossip keys                                   closed
//	GET /metrics                             Prometheus                                        closed
//	GET /debug/pprof/                        profiles of the running program                   closed
//
// Closed means: from an allowed network, or with the token. A request that came through a proxy is a stranger's,
// whatever address the proxy has. Requests from loopback must name the host by its address or as localhost, so that no
// web page gets at them by pointing its own name to 127.0.0.1. POSTs must be JSON and must not come from a page of another
// origin. A session id is as good as a token: 53 random bits that
// only the session's client knows. The TURN credentials of the page are worth little: they expire after minutes, lead to this
// node's media and nowhere else, and are made for each source at a bounded rate; beyond it the page does without.
package console
