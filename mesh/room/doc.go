// Package room keeps rooms that span nodes: what a room is, and who is in it.
//
// It knows nothing of what rooms are for. A room has an id and a record, a participant has an id and an entry; records and entries
// are the plugin's bytes. [Rooms] is one node's part. All nodes are the same, and none is asked to coordinate.
//
// # Records
//
// A room's record is kept by the three live nodes of the highest rendezvous hash of (room, node); a permanent room's on disk there and
// where it was made. Versions merge in any order to the same outcome: destroying a room ends it whatever others did to it meanwhile, the last edit
// wins, by a hybrid logical clock. Tombstones are remembered for six hours, those of permanent rooms for thirty days: a node
// that was away for longer may bring a room back.
//
// What [Rooms.Create] has confirmed is on two nodes; what it could not bring to the second within a second it keeps on this node until
// it can. So no room is lost with any one node. A room that is not permanent stays without participants until it is destroyed; it is lost
// when all that have it die at once: its three keepers, and the nodes that have it open, who bring it back otherwise.
//
// Nodes compare their records when one comes or goes, when a record has changed, and otherwise two others in five seconds: one sum each, and
// what differs only where it differs. A room that nobody is in costs its keepers memory (some 200 bytes beside the record) and
// no traffic.
//
// # Rosters
//
// Who is in a room is soft state, held by those who need it: the nodes that have the room open, and its keeper, the first of the three.
// Every entry has one writer, its participant's home. A node with an interest in a room follows the keeper: it tells of its own
// participants, and is told of everybody. Each pair of nodes has one ordered conversation for all rooms, with acknowledgements, a window, and a
// ping of some 20 bytes each 250 ms while one follows the other.
//
// If nothing is heard for a second, the next of the three is followed. It need not be the keeper in everybody's eyes: a
// node that is followed follows those before it in the order, if it hears them, and carries what its followers say. The order is the same for all, so
// that makes a tree; nodes that cannot reach each other are in one room through a third, and two halves of a partition are one room as soon
// as the two firsts hear each other. Entries whose way was lost stay for 2.5 seconds, in which everybody has told the next one, so users do
// not see others go and come. Entries of nodes that are not members are held back, and go at once when membership says that a
// node is dead. A node that hears none of those that should keep the room, though they live as far as it knows, was cut off with its part of
// the mesh: until membership says so it cannot know who else is there, and keeps what it has.
//
// If two have the same id, the older claim has it (clock, then node id), and the younger participant's watcher is told that it is
// lost. That is decided where the younger one lives, as soon as it learns of the older one.
//
// # Whom it trusts
//
// The link says who speaks. A node writes the entries of its own participants and no others; those of others are taken only from
// a node that is followed, or from one that is among the first six of the room and may have to carry them. Anything else is refused and counted
// ([Metrics].Forged). So a room's first six nodes, if they lie, can hide, delay, invent or spoil others' entries in that room, on nodes
// that hear of them by this one. What they invent does not pass for more: streams are asked of the home, and so are requests ([Room.Ask]), over
// authenticated links; a node believes nobody about its own participants, but that another has the older claim; and a lie ends with the
// conversation. Signatures on entries would close that, at some 60 µs for each change and follower; they would not change that any member may
// edit and destroy rooms, because any member may serve a client who has the room's secret. A member may claim an id with a false, older
// clock and so take it from another's participant.
//
// Everything that grows is bounded: sizes, participants, rooms, followers, bytes given by one node. A node that sends faster than it may is
// not acknowledged, which stops an honest one, and then not read, which stops the others.
//
// # Inside
//
// [core] is pure: inputs with the time go in, messages and watchers' events come out. [Rooms] runs it: one mutex around it, one goroutine that sends and keeps
// time, one that writes to disk, one for each call, and one for each watcher as long as it has something to be told. Nothing is called with
// the mutex held. A watcher that is slow is told less, not later: the queue has each participant once. Locks: Rooms.mu before disk.mu.
//
// Whoever wires it: [KindNotice] goes to [Rooms.HandleNotice], [Kinds] to [Rooms.HandleCall]; [Rooms.SetNodes] whenever membership changes. [Rooms.LinkChanged] makes
// failover faster after a link has broken and is not needed for anything to be right: notices carry numbers, and whatever is missing
// makes the conversation begin again.
package room
