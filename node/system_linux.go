package node

import (
	"log/slog"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cardea/node/config"
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

// checkBuffers warns when the kernel will cut socket buffers short.
func checkBuffers(cfg config.Media, log *slog.Logger) {
	if privileged() {
		return // SO_RCVBUFFORCE and SO_SNDBUFFORCE pass the limits
	}
	for _, b := range []struct {
		name string
		want config.Size
	}{{"net.core.rmem_max", cfg.ReadBuffer}, {"net.core.wmem_max", cfg.WriteBuffer}} {
		text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(b.name, ".", "/"))
		if err != nil {
			continue // not readable in some sandboxes; the sockets tell what they got
		}
		have, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && have < int64(b.want) {
			log.Warn("the kernel cuts socket buffers short: raise it with sysctl -w", "sysctl", b.name, "have", have, "want", int64(b.want))
		}
	}
}

// privileged tells whether the process has CAP_NET_ADMIN.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
