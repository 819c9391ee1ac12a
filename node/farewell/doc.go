// Package farewell tells clients, one after another, that they should be at another node: their own goes, or the one where their media is.
//
// A client that can move without a gap watches: it asks for /nearest/watch?session=ID and is answered when it is its turn, with
//
//	{"move": true}
//
// or with 204 after [Hold] at the latest, and asks again. Then it opens a session at another node, the best that /nearest names now, and
// ends the old one when the new one flows (nearest.js does that). A client that could not move asks again, and gets another turn.
//
// Only who knows the id of a session of this node is listened to, one request for each session, so that strangers cannot make it hold
// anything.
package farewell
