package transport

import (
	"slices"

	"cardea/signaling/janus"
)

// Error codes of replies to query_transport.
const (
	queryUnknown = 411 // no such request
	queryMissing = 412
	queryElement = 413
)

type object = map[string]any

// Queries returns what answers the admin API's query_transport, by package name. The transports of the admin API may be
// nil. They answer "configure", which changes nothing since replies are always compact and which events are sent is a matter of
// those who take them, and "connections".
func Queries(web, adminWeb *HTTP, socket, adminSocket *WebSocket) map[string]func(janus.Object) any {
	return map[string]func(janus.Object) any{
		HTTPPackage: func(request janus.Object) any {
			return query(request, web.cfg.Events != nil, func(reply object) {
				reply["connections"] = object{"http": web.connections.Load(), "admin_http": adminWeb.openConnections()}
				reply["messages"] = web.waiting.Load()
			})
		},
		WebSocketPackage: func(request janus.Object) any {
			return query(request, web.cfg.Events != nil, func(reply object) { reply["connections"] = socket.openConnections() + adminSocket.openConnections() })
		},
	}
}

// openConnections is the number of connections; a nil transport has none.
func (h *HTTP) openConnections() int64 {
	if h == nil {
		return 0
	}
	return h.connections.Load()
}

// openConnections is the number of connections; a nil transport has none.
func (w *WebSocket) openConnections() int {
	if w == nil {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all)
}

// query answers one request.
func query(request janus.Object, handlers bool, connections func(reply object)) object {
	refuse := func(code int, sentence string) object { return object{"error_code": code, "error": sentence} }
	if err := request.Check(janus.Param{Name: "request", Type: janus.String, Required: true}); err != nil {
		if !request.Has("request") {
			return refuse(queryMissing, err.Error())
		}
		return refuse(queryElement, err.Error())
	}
	reply := object{"result": 200}
	switch name := request.String("request"); name {
	case "configure":
		err := request.Check(janus.Param{Name: "events", Type: janus.Bool}, janus.Param{Name: "json", Type: janus.String},
			janus.Param{Name: "logging", Type: janus.String})
		if err != nil {
			return refuse(queryElement, err.Error())
		}
		if request.Has("json") && !slices.Contains([]string{"compact", "plain", "indented"}, request.String("json")) {
			return refuse(queryElement, "Invalid element type (json should be compact, plain or indented)")
		}
		if request.Has("events") && !handlers {
			reply["notes"] = []string{"Event handlers disabled at the core level"}
		}
	case "connections":
		connections(reply)
	default:
		return refuse(queryUnknown, "Unknown request '"+name[:min(len(name), 64)]+"'")
	}
	return reply
}
