// Package dns answers for a delegated zone with the addresses of the nodes that serve a client best.
//
// It is an authoritative server and nothing else: it resolves for nobody, refuses other zones, gives no zone away and takes no
// updates. What lies in the zone is made up for each question, from the nodes there are at that moment:
//
//	ZONE                          A AAAA HTTPS   the nodes nearest to who asks
//	                              NS SOA         the zone itself
//	_SERVICE._PROTO.ZONE          SRV            the same nodes, with the port of a service (_janus._tcp)
//	_PORT._https.ZONE             HTTPS          the same for https and wss at other ports than 443 (RFC 9460, 2.3)
//	room-ROOM.ZONE                               as ZONE, with the room's other nodes counted in; services as above
//	NODE.ZONE                                    one node, also while it drains, but not when it is gone; services as above
//
// and whatever static records are configured, for the zone is the only place where they can be (_acme-challenge, CAA).
//
// # Where a client is
//
// A question that carries the client's network (EDNS client subnet, RFC 7871) is answered for that network, and the answer says
// how far it holds, so that a resolver with clients everywhere keeps one answer for each place. Without, the resolver's own
// address stands for its clients; and where neither's place is known, they count as near to this server, since resolvers come to
// prefer the servers near to them. Answers are short-lived: a node that dies or drains is in none from the moment this node knows,
// and forgotten by resolvers one TTL later.
//
// # Strangers
//
// Everybody may ask, and nobody can make the server do much: a quarter of the processors at most serves UDP, each question is answered
// without waiting for anything, connections are counted, in total and for each network, and have deadlines, and answers over UDP
// never exceed 1232 bytes (no fragments) nor a rate for each network that asks. Half of what is above the rate is answered with
// the request to come again over TCP, which a forged source cannot; the rest gets silence, so nobody is worth flooding by way
// of this server. Who has a cookie (RFC 7873) of this server's has a rate of his own, together with TCP, which a flood in his name does
// not use up. ANY gets one small record (RFC 8482). Nothing is signed: there is no DNSSEC.
package dns
