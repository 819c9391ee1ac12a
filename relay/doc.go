// Package relay is the media plane in this process: it implements [plane.Plane] with peers, streams and sockets.
//
// One goroutine owns each socket and runs every packet it reads to completion (loop.go); one more, the ticker, does what
// is periodic (ticker.go). Which peer a packet is for is decided by its content first and its address then (routes.go).
package relay
