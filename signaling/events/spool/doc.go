// Package spool keeps events between where they happen and where they go, so that neither waits for the other.
//
// A [Spool] is one append-only log with many readers. [Spool.Append] takes entries into memory and returns; a writer puts
// them into segment files in the background. Each [Cursor] reads the log from where it stands, from memory if it keeps up
// and from disk if it does not, and confirms what has arrived ([Cursor.Ack]). What all cursors have confirmed is removed.
//
// What is promised:
//
//   - An entry that is on disk is handed out by every cursor until it was confirmed, also after a kill -9: at least once,
//     in order, byte for byte the same. Entries are given to the operating system as they come, also while a sync is under way, and
//     synced every second. So a kill -9 loses what was not yet given (some 30 us after [Spool.Append] on an idle machine, milliseconds
//     on a busy one, longer only while a write itself hangs); a power cut what came in the last second and while its sync took.
//   - An entry that was handed out may be among those: it is delivered, or it is lost, and its number is not used for another.
//   - Both memory and disk are bounded. When the disk's bound is reached, the oldest segment goes; when the disk takes
//     nothing (full, broken, absent), entries stay in memory, and beyond that bound the oldest go. Whatever a cursor misses by that is counted for it.
//   - Append never waits for a disk, and a cursor never for another cursor.
//   - A damaged segment is read up to the damage; the rest of it is counted as missed. Nothing else suffers.
//
// # Files
//
// In the directory lie segments, named by the sequence number that they begin at in 16 hexadecimal digits, and one file of
// 48 bytes for each cursor. All numbers are little-endian.
//
//	segment:  "CDEV", version 1, run (7 bytes), base (uint64), CRC-32C of the 20 bytes before (uint32)
//	          then records:
//	record:   length of the body (uint32), CRC-32C of the body (uint32), body
//	body:     sequence number (uint64), microseconds since 1970 (int64), kind (uint16), length of the key (uint16), key, value
//	cursor:   two slots, written in turn; the valid one that has confirmed more counts:
//	slot:     CRC-32C of the rest (uint32), four bytes 0, confirmed (uint64), handed out (uint64)
//
// Sequence numbers rise within a segment and from one to the next; they may leave some out. run is a random number of the process that wrote
// the segment: (run, sequence number) names an entry for good, among those of all nodes, even if a crash made a later process use a
// number again.
//
// Lock order: there is one lock, Spool.mu, and no file is touched under it.
package spool
