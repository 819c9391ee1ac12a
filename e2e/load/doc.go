// Package load puts a Janus-compatible server under the load of many simulated clients and measures what it does with it:
// packets lost, time added on the way, time to join and to the first picture, and what the server spent.
//
// [Run] makes rooms, joins publishers, which send what a browser's camera and microphone would, and then subscribers, which
// give the feedback that browsers give: receiver reports, transport-wide feedback, NACKs, keyframe requests. They come in over
// the Janus API of any server (WebSocket) and leave everything as it was.
//
// What it does not do: adapt its bitrate to the server's feedback, decode, use TURN or TCP, hide clients behind a network.
// Publishers and subscribers share a process with two loops of package rtc, one for each side, because the machine is often
// shared with the server under test; [Report] says what the generator itself took. Times of arrival are the kernel's, so that
// a delay is from the moment a publisher hands a packet to its socket until it lies in the subscriber's.
package load
