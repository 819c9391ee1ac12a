package transport

import (
	"net/netip"

	"golang.org/x/time/rate"
)

// Callers says who may use a transport, and how much. It may be replaced while the transport serves; what is over a
// connection already goes on under the rate it began with.
type Callers struct {
	Origins []string       // see [HTTPConfig] and [WebSocketConfig]
	Proxies []netip.Prefix // likewise
	Rate    float64        // see [Limits]
	Burst   int            // likewise
}

// limiter makes the limiter of a new connection.
func (c *Callers) limiter() *rate.Limiter { return rate.NewLimiter(rate.Limit(c.Rate), c.Burst) }

// newCallers is what a configuration says, with its defaults filled in.
func newCallers(origins []string, proxies []netip.Prefix, l Limits) *Callers {
	l = l.withDefaults()
	return &Callers{Origins: origins, Proxies: proxies, Rate: l.Rate, Burst: l.Burst}
}

// SetCallers replaces who may use the transport. Requests that are read from now on are held to it.
func (h *HTTP) SetCallers(c Callers) {
	h.callers.Store(newCallers(c.Origins, c.Proxies, Limits{Rate: c.Rate, Burst: c.Burst}))
}

// SetCallers replaces who may use the transport. Connections that are made from now on are held to it.
func (w *WebSocket) SetCallers(c Callers) {
	w.callers.Store(newCallers(c.Origins, c.Proxies, Limits{Rate: c.Rate, Burst: c.Burst}))
}
