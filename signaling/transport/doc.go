// Package transport carries the Janus API over WebSocket and over HTTP with long polls.
//
// It parses requests, bounds what a client can make the server hold (message size, requests a second, connections,
// bytes waiting to be sent), and hands the rest to an [API]. What requests mean is not its business.
package transport
