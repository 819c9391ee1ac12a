package node

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"cardea/geo"
	"cardea/node/config"
)

// redirector says which clients are sent to other nodes when they create a session over HTTP.
type redirector struct {
	n      *Node
	mode   string
	counts func(client netip.Addr, now time.Time) bool // whether one more of a source may be sent away
	limit  *rate.Limiter                               // of all sources
	sent   prometheus.Counter
}

const (
	// farMargin is how much nearer another node must be for a client to be sent there: the way there costs a round trip or two.
	farMargin = 30 * time.Millisecond // beyond what the databases may be wrong
	// redirectRate is how many clients a second are sent away, of one source as many as count. Each counts as a client of where it was
	// sent, so that strangers who only ask could make other nodes seem full.
	redirectRate = 100
)

// redirect returns what the HTTP transport asks, nil when nobody is ever sent anywhere.
func (n *Node) redirect() func(*http.Request, netip.Addr) string {
	if n.cfg.Janus.Redirect == config.RedirectOff {
		return nil
	}
	r := &redirector{
		n: n, mode: n.cfg.Janus.Redirect, counts: n.finder.nearest.Counts, limit: rate.NewLimiter(redirectRate, redirectRate),
	}
	r.sent = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "cardea_janus_redirects_total", Help: "Clients sent to another node when they created a session over HTTP.",
	})
	n.registry.MustRegister(r.sent)
	return r.ask
}

// ask returns the beginning of the URL of the node to go to, "" for this one.
func (r *redirector) ask(q *http.Request, client netip.Addr) string {
	busy := r.n.notReady() != nil
	if !busy && r.mode != config.RedirectFar || disguised(q) {
		return ""
	}
	now, self := time.Now(), string(r.n.cluster.Self().ID)
	query := geo.Query{Asked: self}
	if client.IsValid() {
		query.Client, _ = r.n.finder.locate(client)
		query.Spread = spreadOf(netip.PrefixFrom(client, client.BitLen()))
	}
	ranked := r.n.finder.chooser.Choose(now, query, r.n.finder.nodes())
	believe(ranked, self, r.n.reach.roundTrip(client))
	to := elsewhere(ranked, self, farMargin+query.Client.Doubt(), busy, overTLS(q))
	if to == nil || !r.admits(client, now) {
		return ""
	}
	r.n.finder.chooser.Sent(now, &to.Node)
	r.sent.Inc()
	return webURL(&to.Doors, overTLS(q))
}

// admits tells whether one more client may be sent away; one source does not use up what all have.
func (r *redirector) admits(client netip.Addr, now time.Time) bool {
	return r.counts(client, now) && r.limit.AllowN(now, 1)
}

// elsewhere returns the node to send a client to, nil for none: the best one that can be reached in the same way, if this one is
// busy or farther by more than a margin.
func elsewhere(ranked []geo.Ranked, self string, margin time.Duration, busy, secure bool) *geo.Ranked {
	reach := func(r geo.Ranked) bool { return r.ID != self && r.Busy < 1 && webURL(&r.Doors, secure) != "" }
	best := slices.IndexFunc(ranked, reach)
	if best < 0 {
		return nil
	}
	if busy {
		return &ranked[best]
	}
	here := slices.IndexFunc(ranked, func(r geo.Ranked) bool { return r.ID == self })
	if here < 0 || ranked[best].RTT+ranked[best].Extra+margin > ranked[here].RTT+ranked[here].Extra {
		return nil
	}
	return &ranked[best]
}

// overTLS tells whether a request came over TLS, if only to a proxy before this node.
func overTLS(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(first), "https")
}

// disguised tells whether a request came through a proxy that does not say whether it came there over TLS: sent on to a plain port,
// the client would send its secrets for everybody to read.
func disguised(r *http.Request) bool {
	through := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != ""
	return through && r.TLS == nil && r.Header.Get("X-Forwarded-Proto") == ""
}

// webURL returns the beginning of the URL of a node's Janus API over HTTP, "" if it has none of the kind. TLS needs a name:
// certificates are hardly ever for addresses.
func webURL(d *geo.Doors, secure bool) string {
	scheme, port, host := "http", d.HTTP, d.Host
	if secure {
		scheme, port = "https", d.HTTPS
	} else if len(d.Addresses) > 0 {
		host = cmp.Or(host, d.Addresses[0].String())
	}
	_, err := netip.ParseAddr(host)
	if host == "" || port == 0 || secure && err == nil {
		return ""
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}
