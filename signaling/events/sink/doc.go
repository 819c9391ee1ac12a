// Package sink brings events from the spool to one destination, and tries again until they have arrived.
//
// A [Runner] takes batches from a cursor, gives them to a [Sink], and confirms what the sink says has arrived. While a destination
// is away it waits longer and longer between attempts (with jitter, so that a fleet of nodes does not come back in step); nothing
// overtakes what could not be delivered. So every destination gets every event at least once and in order, within the bounds of
// the spool. A batch that the destination refuses for what is in it ([ErrRefused]) is halved until the event is found that
// is refused alone; that one is given up and counted.
//
// What a process has to say before everything else (the list of rooms of the process before it) goes first, and until it has arrived
// nothing else does, however full the spool is.
package sink
