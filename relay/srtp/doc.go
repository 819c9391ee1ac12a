// Package srtp encrypts and authenticates RTP and RTCP (RFC 3711, RFC 7714) in place and without allocating.
//
// It exists because a server protects one packet for each of a hundred subscribers: [Keys] holds the ciphers of one
// direction of one transport, and a [Sender], of which each outgoing SSRC has one, is a few words beside it. The caller
// says which packet index a packet has, since whoever numbers the packets knows; a [Receiver] estimates it, as a
// receiver must, and refuses what it has seen.
//
//	AEAD_AES_128_GCM, AEAD_AES_256_GCM:  header | payload, encrypted | tag (16)
//	AES128_CM_HMAC_SHA1_80, _32:         header | payload, encrypted | tag (10 or 4)
//	SRTCP with GCM:                      8 bytes | rest, encrypted | tag (16) | E + index (4)
//	SRTCP with SHA-1:                    8 bytes | rest, encrypted | E + index (4) | tag (10)
//
// Keys come from DTLS (RFC 5764) or SDP (RFC 4568), not from here. There is no MKI, no key derivation rate, and no mode
// without encryption: WebRTC has none of them.
package srtp
