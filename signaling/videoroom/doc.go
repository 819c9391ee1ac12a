// Package videoroom is the VideoRoom plugin of the Janus API (janus.plugin.videoroom): rooms in which publishers send
// media and subscribers pick what they receive of it.
//
// It decides and remembers; it moves no media itself. What it decides it tells the media plane through the
// [janus.Handle] of each client: which received lines feed which streams, which streams feed which sent lines.
//
// # State and who may touch it
//
// A room holds its participants (publishers, whether or not they publish yet), their streams (one for each m-line they
// offer), and its subscribers with their lines (m-lines of the offers they get). All of that is guarded by the room's
// one mutex. The methods that decide are plain functions on that state, called with the mutex held; they call neither
// the media plane nor anything else that waits. Pushing events and [janus.Handle.Do] never wait and may be called with
// the mutex held, which is what keeps the order of events the same for everybody in the room.
//
// What a handle does with its PeerConnection happens in the handle's turn, as the core calls it: the methods of a
// session, and functions that others give to Handle.Do. They take the room's mutex to read or change the state, let go
// of it, and then call the media plane.
//
// The directory of rooms has a lock of its own, which is never held together with a room's, and no two rooms' locks are
// ever held together.
//
// # Janus's behaviour
//
// Replies, events, error codes and sentences are those of Janus 1.1.2, with some additions of later versions that
// clients of the older one do not notice (metadata, signalled SVC). Kept on purpose are what look like slips but clients
// have seen for years: an unpublish is announced twice (by the request and by the hangup that follows), and so is the
// end of a handle that left without saying so.
package videoroom
