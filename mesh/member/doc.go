// Package member says which nodes there are, and lets new ones in.
//
// It stands on hashicorp/memberlist (SWIM gossip over UDP and TCP, port 7946), always encrypted. What every node must know
// of every other is in 512 bytes of metadata ([Node]); rooms are never in it. A [Cluster] is made with [Open]:
//
//	c, err := member.Open(ctx, member.Config{Dir: filepath.Join(dataDir, "mesh"), Name: ..., GossipPort: 7946, LinkPort: 7947, ...})
//	c.Watch(func() { ... c.Nodes() ... })            // before Run
//	link.Config{Self: c.Self().ID, TLS: c.TLS(), Identify: c.Identify, Resolve: c.Resolve}
//	text := c.FirstInvitation()                      // not empty: this start made the cluster; print it
//	err = c.Run(ctx)                                 // leaves at the end; or c.Close() if it is never run
//
// # Failure detection
//
// Each node probes one other each P = 500 ms, in shuffled rounds, and waits so long for the answer (from 350 ms on by way of
// others as well); so round trips of nearly 500 ms pass. With n nodes and s = max(1, log10 n), a dead node is known everywhere
// after
//
//	first probe + P + suspicion + spreading
//
// The first probe comes within P on average. Suspicion lasts 3 s P once a second node has found the same, or with fewer than
// four nodes; one node alone must suspect for 9 s P. Spreading takes log4(n) rounds of 100 ms and half a round trip each. At
// 250 ms round trip that is 2.4 s on average with 2 nodes, 2.9 s with 10 (4.4 s in the worst of 100 cases), 4.2 s with 50, 4.9
// s with 100; a test simulates it.
//
// A live node is declared dead only if for that time of suspicion none of what is said of it reaches it, or none of its
// objections gets out. At 3 % loss 6 of 100 probes fail; suspicions and objections are then told at least five times over, so
// that one in some ten million ends wrongly. A process that stands still for less than 2 s survives. A node that finds itself
// slow gives others up to three times as long.
//
// Where a part of the mesh is cut off from another and a third reaches both, more of that gets lost. So gossip alone buries nobody who is heard:
// by this node's links, or, of nodes with media, by those of nodes that are ([Cluster.Vouch]). Up to 32 nodes then also exchange all that they know until the
// objection is everywhere.
//
// # Trust
//
// The first node makes a gossip key and an Ed25519 certificate authority. A cluster's id is the authority's: lower-case
// base32 of the first 10 bytes of the SHA-256 of its public key; a node's id is made from its own key in the same way. A
// node is a member if it has a certificate of the authority (90 days, renewed after 60) and the gossip keys. The
// authority's key is with the first node and those invited to hold it; other members pass what needs it on to one of them.
//
// New nodes come to the admission port (TCP, same number as the links' UDP port) of any member, with an invitation: the
// authority's fingerprint, addresses, an expiry, and a one-time key, signed by the authority. They check the fingerprint before
// they say anything. Only the member that made an invitation can redeem it, and it keeps nothing but a hash of the key; another
// member, shown the signed part, carries the bytes of a TLS session between both, which it cannot read. Wrong, expired and used
// invitations get the same answer. A process without an invitation sees that TLS is spoken there, and no more.
//
// Members use the same port among each other, with certificates on both sides, for gossip keys, renewals and to meet again.
// Metadata is signed by its node and carries the authority's signature of the node's key ([pass]), so a member that has gone
// wrong can neither speak for others nor invent nodes. It can still disturb failure detection: others object to being called
// dead.
//
// Gossip keys are a signed, numbered ring. A rotation adds a key, waits until every live node announces that it has it, makes
// it the one that encrypts, and drops the old one a minute later. Nodes that see a higher number in somebody's metadata fetch
// the ring from there; nodes that were away fetch it when they come back, for which their certificate is enough.
//
// # Expulsion
//
// An expulsion names a node and a time, signed by the authority. Whoever knows of it takes the node's certificate for a stranger's
// at both ends of every connection, renews it no more, refuses what gossip says of the node, and lets go of it as of one that died.
// It goes around in gossip, in each exchange of state, and with every answer at the admission port that has gossip keys: so nobody
// has keys younger than an expulsion without knowing whom not to give them to. The keys name the nodes that they were kept
// from; where one is missing, a holder of the authority's key begins a rotation, the one that signs the expulsion at once. The old
// key is dropped 3 s after that. Until then the expelled can read gossip and say who it thinks is dead, as before.
//
// Invitations that are open end with an expulsion, since the expelled may know them. Expulsions are kept on disk for 181 days, by
// when every certificate is over that the node could have, unless a holder of the authority's key was cut off together with
// it for over 90 days. The expelled is told the expulsion, whose signature it can check, in answer to whatever it asks; then it is
// alone and calls on nobody. Any member may have others expelled, three at once and one more each 10 minutes, but none that
// holds the authority's key: that takes another holder. One that held the key can make itself a member again, and nothing here helps
// against that. Nodes of versions without expulsions ignore them, and go on with the node.
//
// # Meeting again
//
// Peers are remembered on disk. While any remembered peer is missing, or this node is alone, it calls on them and
// on whatever discovery finds, from any side of a partition and however long it lasted. Discovery (package discovery) yields
// addresses only: a process without an invitation or a certificate gains nothing by knowing them.
package member
