// Package turn gives clients behind closed networks an address of this node: STUN (RFC 8489) and TURN (RFC 8656) over
// UDP, TCP, TLS and DTLS.
//
// The protocol's state machine is pion/turn's. This package is what surrounds it: who may allocate and how much, which
// peers may be reached, where relay ports come from, and how bytes get in and out.
//
// # Ways in
//
// UDP datagrams are fed by whoever owns the socket ([Server.HandleSocket], [Server.HandleDatagram]), since the clients' port is shared with
// media. TCP connections are fed too ([Server.ServeConn], [Server.ServeTLS]). TLS and DTLS ports of its own the server opens itself.
//
// # The two paths
//
// Requests take the slow path: they are copied, queued (when the queue is full: dropped and counted) and handled by
// pion/turn in one goroutine for UDP and one a connection otherwise. Data takes the fast path around it: pion/turn
// reports channels as they are bound, and from then on ChannelData goes from the client's packet straight to the relay socket
// in the goroutine that read it, and a peer's packets go straight to the client, a burst of them as one GSO message. Only
// Send and Data indications, which clients use before they have a channel, still pass through pion/turn.
//
// # Whom a client may reach
//
// A relay sends from inside the operator's network, so private, loopback and other special addresses are denied
// unless allowed by configuration, also where they hide in IPv6 forms of IPv4 addresses. The nodes of the mesh are reached by clients at
// their media addresses: exactly those address and port pairs are allowed, and nothing else of those hosts. TURN permissions name only IP
// addresses, so the pair is enforced on each packet, both ways. Guests ([Config].GuestSecret) reach those pairs and nothing
// else, whatever users are allowed.
//
// Locks: Server.useMu, then Server.mu, then relay.mu. None is held while pion/turn is called.
package turn
