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
// the media plane nor anything else that waits. Pushing events, [janus.Handle.Do], [MeshRoom.Put] and [MeshRoom.Remove] never
// wait and may be called with the mutex held, which is what keeps the order of events the same for everybody in the room.
//
// What a handle does with its PeerConnection happens in the handle's turn, as the core calls it: the methods of a
// session, and functions that others give to Handle.Do. They take the room's mutex to read or change the state, let go
// of it, and then call the media plane.
//
// The directory of rooms has a lock of its own, which is never held together with a room's, and no two rooms' locks are
// ever held together. The lock of a room's inbox is held for nothing else.
//
// # Rooms that span nodes
//
// With a [Mesh], a room object exists here while somebody here has to do with it: participants, subscribers,
// forwarders, a request under way. Whoever needs a room that is not here has the mesh open it, in the handle's turn
// and with no lock held; two who need the same one share that. Nobody else waits. Some seconds after the last use it
// is let go of.
//
// A participant of another node, a remote one, is a participant without a session, made and changed by the entry that
// its own node keeps in the room's roster. So events, listings and subscriptions come from the same code. An entry is
// the state that others can see, and counts of what was announced: of a renegotiation that changes nothing others are
// told too, and of an unpublish twice. A node announces as often as the counts went up. When a node does not keep up,
// or the mesh leaves entries out, events in between are left out, too; the last state is always told. What the mesh
// says of a room waits in the room's inbox, where one goroutine works on it in order; the mesh never waits for a
// client.
//
// What is wanted of a remote participant (kick, moderate, ...) its own node is asked to do, and what came of it is
// known here before the client has its reply. Options are changed in the mesh's record, and each node follows: the one
// that changed it, before it replies. Of changes that cross each other the last one stands. Forwarders run where they
// were asked for, since an address may mean something there only; the publisher's node keeps the list of them.
//
// A chosen id is claimed before its participant is in the room; others are random and need not be. If two parts of the
// mesh come together and both have a participant of an id, the one with the younger claim is told that it was kicked.
// The limit of publishers is checked by what the node knows; if two nodes give the last seat away at the same time,
// the later one is told so, as error 432 in an event of its own, and its PeerConnection closed. That is only so in the
// first seconds: when parts of the mesh come together, whoever publishes goes on.
//
// Private ids are known on the participant's node; others have a digest to recognise them by. Records hold secrets and
// pins, entries do not.
//
// # Handles that change nodes
//
// A handle can go on at another node while its media flows on ([janus.Portable]). Of a snapshot, a publisher's entry is the
// larger part; the rest is what only its own node knows. Of secrets there are its private id, which its own subscriptions
// show, and the SRTP keys of its forwarders, which the new node could not keep going without. A subscriber's snapshot names the
// streams of its lines, and which stay of their publishers they are of.
//
// A participant's former node gives it up and says so (moved), or is gone. The new one claims the id as soon as it is free,
// and puts the entry again: the same stay, told by when it joined, and with a version beyond all that came before. For one that moved
// the others wait as long as a client may take to claim its session elsewhere, and notice nothing if it comes: mirrors, subscriptions and
// forwarders stay as they are. Only of kicks and the like they hear that it cannot be reached. One whose node is gone is announced
// as leaving at once, and as joining when it is back, also where its media flowed all the time: an entry does not
// say where the media is, so nobody could tell a participant that will be back from the ghost of one whose media died along with its node.
//
// A line whose publisher is not known yet at the new node, since that moves as well, keeps its stream and waits as long. If
// the publisher does not come, or had ended the stream meanwhile, the subscriber gets an offer without it.
//
// A client is told what it missed if it was the end of its stay: the room was destroyed, or somebody else has the id, which is
// told like a kick. Who else came and went between the end of the old node and the restoration is not told, since nobody knows
// what the client had seen; a list of participants tells it. If the former node turns out to be there still, which
// had been thought gone, its older claim goes first; the new one insists until that node has learned that the session moved.
//
// # Events
//
// What happens is told on [Config.Events] twice, as Janus's plugin does and as user events for applications. A participant's own node
// tells of it, so a node that dies tells nothing any more of those it had. A participant that moves to another node has neither left
// nor joined. One that leaves while it publishes is told to publish no more first, and one that is kicked to have left after
// that.
//
// # Mutes that last
//
// Beside Janus's moderate, which mutes one stream until it ends, a moderator can mute what a user sends of a kind (audio, video,
// data) for a time or for good: the request has a kind or a duration, in seconds. Such a mute is in the room's record, so it
// holds on all nodes and for who comes again. The user is recognised by its id or, since ids may be new at each join, by the token it
// joined with or its display name, unless others in the room have the same; see [Mute]. Whoever has none of these, or
// changes all of them, comes in as somebody else: rooms where that matters give each user a token. Each node ends the mutes of its
// own participants by its own clock. Moderate with mute:false ends them before that, listmutes tells of them.
//
// # Janus's behaviour
//
// Replies, events, error codes and sentences are those of Janus 1.1.2, with some additions of later versions that
// clients of the older one do not notice (metadata, signalled SVC). Kept on purpose are what look like slips but clients
// have seen for years: an unpublish is announced twice (by the request and by the hangup that follows), and so is the
// end of a handle that left without saying so.
package videoroom
