// Package sdp turns session descriptions (RFC 8866, as WebRTC uses them: RFC 8829) into typed media lines and back.
//
// It exists so that nothing else knows SDP: the media plane is given [plane.Line], plugins decide over [Media], clients
// get the text that Janus would have written. What the server writes is regular and its own ([Format]); what clients
// write is read with bounds on everything that grows ([Parse]).
//
// The two ways a session is agreed:
//
//   - The client offers: [Parse], [NewAnswer] (one [Choice] a line), [Settle], [Format], [Lines].
//   - The server offers: [NewOffer] a line, [Settle], [Format]; then [Parse] the client's answer, [Accept] it, [Lines].
//
// Whoever owns the PeerConnection keeps the agreed lines (those of Settle for an answer, those of Accept for an offer)
// for the next Settle: SSRCs and refusals outlive a negotiation.
//
// Directions in a [Media] are its author's, as SDP has them: in a client's, SendOnly means that the client sends; in the
// server's own, that the node does. Lines turns both into the node's view.
//
// One ICE component carries everything: BUNDLE and rtcp-mux are always assumed and always written. Identifiers
// (payload types, header extension ids, mids) of a client's offer are kept in the answer.
package sdp
