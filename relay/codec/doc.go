// Package codec reads of a media packet what forwarding needs to know: keyframes, frame boundaries, layers and sizes.
//
// It reads payload descriptors (RFC 7741 VP8, RFC 9628 VP9, RFC 6184 H.264, RFC 7798 H.265, the AV1 RTP specification),
// the dependency descriptor header extension (AV1 RTP specification, appendix A) and the headers of keyframes, and it
// rewrites what a switch between encodings breaks (VP8 picture numbers). It decodes no media and keeps no state but the
// descriptor's template structure. All input comes from the network: nothing here panics, and what cannot be read is
// reported as unknown, because packets that are encrypted end to end are forwarded all the same.
package codec
