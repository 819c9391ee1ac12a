// Package shield is a net.PacketConn between quic-go and UDP that repairs what an ocean loses, so that media in QUIC datagrams crosses it.
//
// quic-go's congestion control is Reno: at 150 ms of round trip one packet lost in a hundred leaves it a few per cent of 20 Mbit/s. A [Conn] is
// given to quic.Transport in place of the socket. It numbers the packets that go to each remote, adds parity in proportion to the loss that the
// far end reports, repairs at the receiver, and hands repaired packets up at once, out of order: quic-go finds out that they were not lost,
// undoes its cuts, and waits longer the next time. What it leaves out: which connections there are, who is at the other end, what is sent when
// (cardea/relay/link does that, with cardea/relay/shield/queue).
//
// # The code
//
// Parity row r over the numbers a to b is the sum of 1/(x_r + y_n) times symbol n, in GF(2^8): Reed-Solomon's code in Cauchy form, whose
// window slides. Every row covers what was sent in the last 96 ms, at most 192 symbols, and rows leave evenly spaced. So there are no groups
// to fill: a single loss is repaired by the next row, a burst by as many rows as it is long, and how much parity there is, is one number. In
// simulation 5 to 13 % of it repair 1 % of loss, independent or in bursts of five. The receiver keeps the rows that speak of
// missing symbols in echelon form, so each is repaired as soon as what has arrived determines it.
//
// What parity will not repair in time is asked for, and sent again once, inside a new symbol that parity covers in turn. That is too late for a picture, but in
// time for QUIC to learn that the packet was not lost: a link on which one packet in 10,000 is lost for good is held near 8 Mbit/s by Reno.
//
// # Congestion
//
// The shield hides loss from QUIC's controller, and owes the network one of its own: [Conn.Budget] is what the sender above may hand down. Loss
// without delay is the path's, and is answered by parity. Loss along with delay, delay alone, or more loss than any path has, is congestion, and is answered
// by less of everything; parity is part of what is rationed, and is not raised for such loss. Where yielding to delay does not
// empty the queue, somebody else fills it, and the link then behaves like that one: it yields to loss, and grows by a packet a round trip. What exceeds the
// budget for long, as a QUIC stream may, is dropped here, where Reno sees it.
//
// # Keys
//
// The shield's headers are outside of QUIC's encryption. Once the two ends share a secret ([Conn.Protect]; the exporter of their TLS connection
// gives one) each packet carries a tag, and a packet with a wrong one changes nothing. Who has seen none of a remote's packets has one chance in 2^32 a
// packet to have rubbish taken, which QUIC then refuses; who can see and hold back packets could do as much to QUIC. Packets played
// again are dropped by number. Before the keys, and from remotes without them, packets are passed as they are, at a limited rate and with nothing kept but 64
// halves of packets in all. A remote's state is bounded (some 1 MiB idle, 7 MiB at 50 Mbit/s and more) and goes two minutes after its last packet.
//
// # Size
//
// To quic-go the path carries 1,452 bytes: its own search for the size ends there, and RTP of 1,250 bytes fits once it has (a second or so
// after the handshake; until then SendDatagram says that 1,243 are the most). Set quic.Config.InitialPacketSize to its default, 1,280: with more, quic-go v0.65
// spins until its own search has succeeded once. The shield looks for what the path really carries, from 1,232 to 1,469 bytes of UDP payload, and cuts
// packets in two where that is too little.
//
// # On the wire
//
// Numbers are big-endian. A shielded packet begins with
//
//	 0       1 2 3     4 5 6 7   8 9 10 11
//	+-------+---------+---------+---------+
//	|001vvkkk| time   | number  | tag     |
//	+-------+---------+---------+---------+
//
// vv: version, 0. kkk: kind. time: when it was sent, in units of 8.192 us. number: of the symbol; the last one covered, for parity; its own, for reports and probes.
// tag: SipHash-2-4 of all other bytes, its halves added (XOR). QUIC's packets begin with a bit of 1, or with 01; bytes 0x20 to 0x3f are the shield's.
//
//	kind 0 packet   one packet
//	kind 1 head     the first part of a packet that was cut
//	kind 2 tail     the second; it has the next number
//	kind 3 again    number (4), kind (1) and content of a symbol that is sent again
//	kind 4 parity   symbols covered less 1 (1), row (1), sum of kind<<12|length (2), sum of contents
//	kind 5 report   see below
//	kind 6 probe    zeros, as many as the size that is tried
//
// A report, each 20 ms while packets arrive, each 60 ms while they are few, and each 150 ms otherwise, is keepalive, acknowledgement and request in one:
//
//	 0 echo (3)     time in the packet that arrived last
//	 3 hold (2)     time since, in units of 65.5 us
//	 5 highest (4)  highest number received
//	 9 settled (4)  numbers whose fate is known
//	13 lost (4)     of these, not arrived by themselves
//	17 runs (4)     uninterrupted runs of lost ones
//	21 missed (4)   of the lost, not repaired by parity
//	25 bytes (4)    received
//	29 delay (2)    least queueing delay since the last report, in units of 65.5 us
//	31 mean (2)     mean of the same
//	33 largest (2)  largest datagram of the last second or two
//	35 reports (4)  reports received
//	39 asks (1)     how many follow: first number (4), how many in a row (1)
//
// A packet that is cut before there are keys is sent as 0x3e (first part) or 0x3f (second part), an id (4), and the part.
package shield
