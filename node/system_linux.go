package node

import (
	"log/slog"
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// wantFiles is how many open files a node wants: a WebSocket a client, and sockets of TURN allocations.
const wantFiles = 65536

// raiseOpenFiles raises the limit of open files as far as the system allows.
func raiseOpenFiles(log *slog.Logger) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		log.Warn("cannot read the limit of open files", "error", err)
		return
	}
	if want := max(l.Max, wantFiles); l.Cur < want {
		privileged := unix.Rlimit{Cur: want, Max: want} // root may raise the hard limit too
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &privileged) != nil {
			l.Cur = l.Max
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
				log.Warn("cannot raise the limit of open files", "error", err)
			}
		} else {
			l = privileged
		}
	}
	if l.Cur < wantFiles {
		log.Warn("few open files allowed: raise LimitNOFILE or ulimit -n", "have", l.Cur, "want", wantFiles)
	}
}

// monotonic returns the time of the clock that service managers compare events by.
func monotonic() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// leastRoundTrip returns the least that a packet of a connection has needed there and back in the last minutes, as the kernel keeps it;
// 0 when it does not know.
func leastRoundTrip(c *net.TCPConn) time.Duration {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) //nolint:gosec // a descriptor
	}) != nil || err != nil || info.Min_rtt == math.MaxUint32 { // nothing was measured
		return 0
	}
	return time.Duration(info.Min_rtt) * time.Microsecond
}
