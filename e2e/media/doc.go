// Package media tries the media plane from outside, without signaling: its tests are clients of pion/webrtc in the same
// process, over loopback sockets that lose packets or change address when told to.
package media
