// Package rtc is a WebRTC transport that costs next to nothing, so that hundreds of simulated clients can share a machine
// with the server they measure.
//
// A [Loop] is one goroutine that reads the UDP sockets of many transports, one socket each as browsers have, decrypts what
// comes in place and hands it to the transport's [Handler]; it also calls the handlers when they have something to send. It
// looks at the sockets once a millisecond and takes the kernel's timestamps for the time of arrival, so neither the rhythm
// nor a busy loop shows in measured delays. Nothing is allocated per packet and no goroutine is woken.
//
// What a transport speaks is the minimum that servers on public addresses and loopback need: ICE (RFC 8445) with one host
// candidate, over UDP, in either role; DTLS-SRTP with pion/dtls; no TURN, no TCP, no restart, no data channels.
//
// Receive offload (UDP_GRO) stays off, as it is in browsers.
package rtc
