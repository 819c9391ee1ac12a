// Package store keeps on disk what must survive a restart of the node: its permanent rooms.
//
// It is one bbolt file in the data directory, readable by its owner alone. What a call has confirmed is on disk, also
// after a kill -9 or a power cut. One process may have it open at a time.
package store
