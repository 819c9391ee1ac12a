// Package rtcp reads and writes the RTCP packets an SFU needs, in place and without allocating.
//
// Every packet begins alike (RFC 3550 section 6.4.1); packets follow one another in a compound packet:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|V=2|P| count   |     type      |  length, 32-bit words - 1     |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  SSRC of the sender (all but SDES and BYE)                    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  SSRC of the media source (feedback, RFC 4585 section 6.1)    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// [Next] walks a compound packet; accessors of [Packet] give what is in one. Known are sender and receiver reports, source
// descriptions, BYE, generic NACK (RFC 4585), PLI (RFC 4585), FIR (RFC 5104), REMB (draft-alvestrand-rmcat-remb-03) and
// transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01). All others, extended
// reports (RFC 3611) among them, are stepped over. When to send what is decided elsewhere, and encryption is too.
//
// Everything parsed comes from the network: no input makes this package panic or read outside the packet.
package rtcp
