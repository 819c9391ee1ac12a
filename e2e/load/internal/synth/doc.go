// Package synth makes up the media that a browser with a camera and a microphone would send: VP8 frames and Opus packets
// of the right sizes at the right times, with valid headers and filler behind them, paced as libwebrtc paces.
//
// It is pure: times are nanoseconds of one monotonic clock, passed in. Nothing it makes can be decoded into a picture.
// Every payload carries a [Mark] behind the codec's own header, by which a receiver in the same process tells what was
// lost, what came twice, and how long the way took.
package synth
