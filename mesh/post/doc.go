// Package post carries data-channel messages from the node where they are published to every node with listeners.
//
// Two nodes with something to say to each other have one SCTP association (RFC 9260), carried in datagrams that go from
// node to node along the route of the moment. It outlives a change of route and the death of a node in between, since only
// its two ends know of it.
//
//	publisher's node                                             listener's node
//	peer.Channel -> outlet -> subscriber -> line = = = = line -> intake -> peer.Channel -> clients
//	                (numbers) (what is      (SCTP over           (numbers)
//	                           not acknowledged) routed datagrams)
//
// # Who subscribes
//
// A node whose clients want a data line that is published elsewhere subscribes at the publisher's node, which the room's
// roster names, and says the messages that come into a channel of its own. A publisher's node sends a message once to each
// node that subscribed, however many clients are behind it; nodes in between know nothing of rooms and only pass datagrams on.
//
// # What is promised
//
// Each message keeps the order and reliability that its sender asked for. Reliable messages are numbered for each published
// line and kept until the listener's node says that it has them: if an association has to be made anew they are sent again,
// and known by their number if they came already. So they arrive exactly once, the ordered ones in order, whatever happens
// between the two nodes, with two exceptions that are counted: a room that says more than its quota loses what it says, and
// what a node has not taken when the room's memory is full, or a minute after it was last seen, is lost to that node.
// Partially reliable messages are sent with the sender's own limits, at most once.
//
// # What anybody may cost
//
// What comes from other members is bounded as well: datagrams by source and neighbour, hops, queues, streams, subscriptions,
// the size of everything. A node that takes nothing costs a room its quota of memory and nobody any time: what is to be sent
// lies once in the room's memory, and each subscriber has only a place in it.
//
// # Layers
//
// Deciding is apart from doing. datagram.go is the header of routed datagrams, router.go decides what becomes of one,
// contact.go agrees with another node on an association, room.go is a publisher's memory and numbers, tally.go a listener's,
// lanes.go allots SCTP streams, message.go is what nodes say over them. They know neither goroutines nor clocks. line.go is
// one association with its goroutines, post.go joins all.
//
// Locks, in the order in which they may be taken: Post.mu, then the directory's, a channel's, room.mu and line.mu; or Post.mu,
// then intake.mu, a channel's and line.mu; or Post.mu, then correspondent.mu and todo.mu, with Config's functions called.
package post
