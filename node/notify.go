package node

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells the service manager how the node is doing, by systemd's protocol (sd_notify): that it is ready, reloads its
// configuration or stops, and that it is alive. A nil notifier tells nobody. Safe for concurrent use.
type notifier struct {
	send     func(state string) error
	watchdog time.Duration // how long the service manager bears silence; 0: for ever
	log      *slog.Logger
	failed   atomic.Bool // so that a failure is logged once
}

// newNotifier returns a notifier of the service manager that started the process, nil if none wants to be told.
func newNotifier(log *slog.Logger) *notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	n := &notifier{log: log, send: func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}}
	var err error
	if n.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("the service manager's watchdog is not served", "error", err)
	}
	return n
}

func (n *notifier) tell(state string) {
	if n == nil {
		return
	}
	if err := n.send(state); err != nil && !n.failed.Swap(true) {
		n.log.Warn("cannot notify the service manager", "error", err)
	}
}

// ready says that the node takes clients, for the first time or after a reload.
func (n *notifier) ready(status string) { n.tell(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// reloading says that the configuration is read again; ready must follow. The time lets the service manager tell this from
// an older reload (Type=notify-reload).
func (n *notifier) reloading() {
	n.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic().Microseconds()))
}

// stopMargin is what a stop may take beyond what is configured, before the service manager kills the process.
const stopMargin = 5 * time.Second

// stopping says that the node stops, for which it may take so long: then the service manager's own limit does not cut calls short.
func (n *notifier) stopping(within time.Duration) {
	n.tell(fmt.Sprintf("%s\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, (within + stopMargin).Microseconds()))
}

// watch tells the service manager that the node is alive for as long as ctx lasts and look returns. look walks through the parts
// of the node: where one of them stands still for good, nothing is told any more, and the service manager restarts the node.
func (n *notifier) watch(ctx context.Context, look func()) error {
	interval := time.Duration(math.MaxInt64)
	if n != nil && n.watchdog > 0 {
		interval = max(n.watchdog/3, time.Millisecond) // two may be late
	}
	clock := time.NewTicker(interval)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
			look()
			n.tell(daemon.SdNotifyWatchdog)
		}
	}
}
