package janus

import "cardea/signaling/events"

// EventHandler is what an operator may change of an event handler while it runs: what it is told and how it passes it on, but not
// where to, which is the configuration's to say. A nil func means that it cannot be changed.
type EventHandler struct {
	Types       func() events.Type // what it is told now
	SetTypes    func(types events.Type)
	SetGrouping func(grouping bool) // several events in one message, as an array
}

// Error codes of replies to query_eventhandler.
const (
	handlerInvalid = 411 // no such request
	handlerMissing = 412
	handlerElement = 413
	handlerUnknown = 499
)

// handlerParams are what an event handler may be asked to change.
var handlerParams = [...]Param{{Name: "events", Type: String}, {Name: "grouping", Type: Bool}}

// handlerFixed are fields that handlers of Janus's take: where events go is not for a request to say.
var handlerFixed = [...]string{
	"backend", "backend_user", "backend_pwd", "compress", "compression", "max_retransmissions", "retransmissions_backoff",
}

func (c *adminCall) queryEventHandler() (object, *Error) {
	h, ok := c.admin.cfg.EventHandlers[c.String("handler")]
	if !ok {
		return nil, errorf(CodeNoPlugin, "Invalid event handler")
	}
	return response(h.query(c.Object.Object("request"))), nil
}

// query answers one request.
func (h EventHandler) query(request Object) object {
	refuse := func(code int, sentence string) object { return object{"error_code": code, "error": sentence} }
	if err := request.Check(Param{Name: "request", Type: String, Required: true}); err != nil {
		if !request.Has("request") {
			return refuse(handlerMissing, err.Error())
		}
		return refuse(handlerElement, err.Error())
	}
	if name := request.String("request"); name != "tweak" {
		return refuse(handlerInvalid, "Unknown request '"+name[:min(len(name), 64)]+"'")
	}
	if err := request.Check(handlerParams[:]...); err != nil {
		return refuse(handlerElement, err.Error())
	}
	for _, name := range handlerFixed {
		if request.Has(name) {
			return refuse(handlerUnknown, "Only the configuration can change "+name)
		}
	}
	if request.Has("events") {
		if h.SetTypes == nil {
			return refuse(handlerUnknown, "Only the configuration can change events")
		}
		list := request.String("events")
		types, _ := events.ParseTypes(list) // Janus passes over what it does not know, too
		if types == events.All && h.Types != nil && list == "all" {
			types = events.AllJanus | h.Types()&events.User // Janus's all knows nothing of users
		}
		h.SetTypes(types)
	}
	if request.Has("grouping") {
		if h.SetGrouping == nil {
			return refuse(handlerUnknown, "Only the configuration can change grouping")
		}
		h.SetGrouping(request.Bool("grouping", true))
	}
	return object{"result": 200}
}
