// Package echotest is the plugin janus.plugin.echotest: whatever a client sends comes back to it.
//
// It is what people try first to see whether a server works for them at all, and the only plugin with one request
// without a name: a message sets what is echoed (audio, video), the bitrate the client is asked for and which layers of
// its simulcast or SVC come back, and carries the client's offer. Every offered line is published as a stream of a room
// of its own, "echotest/<peer>", and subscribed to by the same line.
//
// The media plane passes data channel messages back as they are; it does not put Janus's "Janus EchoTest here! You
// wrote: " before texts. Recording is accepted and does nothing.
package echotest
