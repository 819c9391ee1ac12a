// Package udp moves datagrams between the kernel and one loop goroutine in batches, because the system call, not the
// work around it, is what a forwarded packet costs.
//
// Reading: [Socket.ReadBatch] takes what has arrived with one recvmmsg(2); where the kernel joined datagrams of one
// sender (UDP_GRO) they are split again. Writing: a [Batch] is one contiguous arena and a table of messages. Packets are
// built in place in the arena ([Batch.Reserve], [Batch.Commit]); consecutive packets of one size to one address become
// one message that the kernel cuts (UDP_SEGMENT, "GSO"), and [Batch.Flush] hands the table over with sendmmsg(2). So it pays
// to write what goes to one destination in a row, and to pad packets of a burst to one size.
//
// Neither direction allocates or starts a goroutine. Reading waits in the runtime's poller. Writing never parks a goroutine:
// when the send buffer is full a flush waits up to [MaxSendWait] for room and then drops and counts, and a single
// [Socket.WriteTo] drops at once, since a late packet of a call is worth no more than a lost one.
//
// A socket belongs to one address family and should be bound to one local address: replies then leave from the
// address that was asked. A wildcard address works, but the kernel picks the source address of what is sent.
//
// GSO may turn out to be refused by a device or a route after it had been granted by the socket. Such a message is sent
// again packet by packet; if that works, GSO was at fault and is off for the life of the socket ([Stats.GSORefused]).
//
// Don't-fragment is set and the kernel's path MTU cache is left out (IP_PMTUDISC_PROBE), as for QUIC: DTLS and RTP keep their packets below
// 1,200 bytes, and a forged ICMP message cannot make the kernel refuse them.
//
// On systems other than Linux the same API works with one system call a packet.
package udp
