// Package events tells the world outside what happens at the node: the events of Janus's event handlers, in Janus's JSON,
// and user events, which say the same for applications.
//
// Whoever something happens to gives the [Bus] an [Event]; the bus orders what comes and hands it to its subscribers in
// batches. Nobody waits for anybody: [Bus.Emit] puts an event in a bounded queue or drops and counts it, and building an
// event's body is spared where [Bus.Wants] says that nobody takes its type. What becomes of the events further on (kept
// on disk, sent, sent again) is the subscribers' business, as are the names, options and masks of Janus's handlers.
//
// # Order
//
// All subscribers see all events in one order, that of the calls of Emit. So what one goroutine emits stays in its order, and
// what is emitted with a lock held in the order of that lock: the events of a handle, of a room. A dropped event leaves a gap and
// changes no order.
//
// # Envelope
//
// An event of Janus is an object of these, in this order:
//
//	emitter     string, the node's name
//	type        number, one bit of [Type]
//	subtype     number, absent when 0
//	timestamp   number, microseconds since 1970
//	session_id  number, absent when it concerns no session
//	handle_id   number, absent when it concerns no handle
//	opaque_id   string, what the client named the handle when it attached; absent when it did not
//	event       object, what happened
//
// A user event has its object under its label ("TGG_USER_EVENT" unless configured) instead, the room's key, and an id before all else: a
// string that is the same whenever and by whichever way the event is delivered, and no other event's, of any node. It is given where
// events are kept (package spool); what its parts are means nothing to others. Events of Janus have it there only if the configuration
// says so.
//
//	{"id": "5f0c2b9a7e41d3-208", "emitter": "n1", "type": 512, "timestamp": 1700000000000000, "session_id": 1, "handle_id": 2,
//	 "room": "videoroom/1234", "TGG_USER_EVENT": {"event": "joined", "community_id": "…", "room": 1234, "id": 5678, "display": "alice"}}
//
// The object says which event it is and whom it concerns:
//
//	event         joined, left, published, unpublished, muted, unmuted, talking, stopped_talking, kicked, network_quality
//	community_id  string, the community that the room belongs to; absent when it has none
//	room, id      of the plugin, number or string as the plugin's ids are
//	display       string, absent when the participant has none
//	by            who muted: moderator or self; until: when that ends by itself, microseconds since 1970
//
// and more by event, as the fields of [UserEvent] tell.
package events
