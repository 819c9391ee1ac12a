package rtc

import "time"

var epoch = time.Now()

// Now returns the process's monotonic clock, ns.
func Now() int64 { return int64(time.Since(epoch)) }

// realOffset returns the wall clock minus the monotonic clock, ns.
func realOffset() int64 {
	now := time.Now()
	return now.UnixNano() - int64(now.Sub(epoch))
}
