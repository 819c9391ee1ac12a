package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"cardea/node/config"
	"cardea/signaling/transport"
)

// change is what may be changed while the node runs: some options, and what puts them in force. Each part of the node adds its
// own to n.changes when it is made.
type change struct {
	options []string // "janus.allowed_origins"
	apply   func(c *config.Config)
}

// changeable adds a change.
func (n *Node) changeable(apply func(c *config.Config), options ...string) {
	n.changes = append(n.changes, change{options, apply})
}

// reloaded tells what came of a reload.
type reloaded struct {
	changed     []string // options that are in force now
	waiting     []string // options that differ, and wait for the next start
	certificate bool     // the certificate's files were read again
}

// reload puts what differs in c in force, as far as it can change while the node runs. Either all of that changes or, with an
// error, nothing. Not safe for concurrent use.
func (n *Node) reload(c *config.Config) (r reloaded, err error) {
	differ := config.Changed(&n.running, c)
	var pair *tls.Certificate
	if n.certificate != nil && c.TLS.Certificate != "" {
		if pair, err = readCertificate(c.TLS); err != nil { // also where the same files hold another
			return r, err
		}
	}
	if err := n.finder.locator.Reload(); err != nil {
		return r, err
	}
	if pair != nil {
		n.certificate.pair.Store(pair)
		r.certificate = true
	}
	for _, change := range n.changes {
		concerns := func(option string) bool { return slices.Contains(differ, option) }
		if slices.ContainsFunc(change.options, concerns) {
			change.apply(c)
		}
	}
	for _, option := range differ {
		if !n.canChange(option, pair != nil) {
			r.waiting = append(r.waiting, option)
			continue
		}
		r.changed = append(r.changed, option)
		n.running.Take(c, option)
	}
	return r, nil
}

func (n *Node) canChange(option string, certificate bool) bool {
	if strings.HasPrefix(option, "tls.") {
		return certificate
	}
	return slices.ContainsFunc(n.changes, func(c change) bool { return slices.Contains(c.options, option) })
}

// Reloadable lists the options that may change while a node runs, beside tls.certificate and tls.key, of which also the files'
// contents may.
func (n *Node) Reloadable() []string {
	var all []string
	for _, c := range n.changes {
		all = append(all, c.options...)
	}
	slices.Sort(all)
	return all
}

// addChanges adds what concerns no part of the node alone.
func (n *Node) addChanges() {
	if n.level != nil {
		n.changeable(func(c *config.Config) { n.level.Set(c.Log.Level) }, "log.level")
	}
	n.changeable(func(c *config.Config) { n.access.set(c.Console) }, "console.allowed", "console.token")
	n.changeable(func(c *config.Config) { n.load.bound(c.Limits) }, "limits.cpu", "limits.scheduling_latency")
	n.changeable(func(c *config.Config) { limitMemory(c.Limits, n.log) }, "limits.memory")
}

// callers is who may use the Janus API's transports, and how much.
func callers(c *config.Config) transport.Callers {
	all := transport.Callers{
		Origins: c.Janus.AllowedOrigins, Rate: float64(c.Limits.RequestsPerSecond), Burst: 10 * c.Limits.RequestsPerSecond,
	}
	for _, p := range c.Janus.TrustedProxies {
		all.Proxies = append(all.Proxies, p.Prefix)
	}
	return all
}

// prefixes are the networks of a list.
func prefixes(networks []config.Network) []netip.Prefix {
	var all []netip.Prefix
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	return all
}

// reloadOn reloads whenever a signal comes, until ctx ends. again reads the configuration anew.
func (n *Node) reloadOn(ctx context.Context, signals <-chan os.Signal, again func() (*config.Config, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
		}
		n.notifier.reloading()
		n.notifier.ready(n.reloadNow(again))
	}
}

// reloadNow reads the configuration and takes it over, tells of it in the log, and returns the same in a few words.
func (n *Node) reloadNow(again func() (*config.Config, error)) string {
	c, err := again()
	if err != nil {
		n.log.Error("configuration not reloaded, all goes on as before", "error", err)
		return "reload failed: " + firstLine(err)
	}
	r, err := n.reload(c)
	if err != nil {
		n.log.Error("configuration not reloaded, all goes on as before", "error", err)
		return "reload failed: " + firstLine(err)
	}
	n.log.Info("configuration reloaded", "changed", r.changed, "certificate", r.certificate)
	if len(r.waiting) == 0 {
		return "ready"
	}
	n.log.Warn("these options differ and cannot change while the node runs: they wait for its next start", "options", r.waiting)
	return fmt.Sprintf("ready; for the next start: %s", strings.Join(r.waiting, ", "))
}

// firstLine keeps what the service manager shows to one line.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
