package janus

import (
	"context"
	"math"
	"net"
	"net/netip"
	"time"

	"cardea/signaling/events"
)

// lookupTime bounds what the operator's tests of the network wait for.
const lookupTime = 5 * time.Second

// queryVerbs ask parts of the server and the network around it, and list what there is.
var queryVerbs = map[string]adminVerb{
	"list_sessions":      {nil, (*adminCall).listSessions},
	"message_plugin":     {query("plugin"), (*adminCall).messagePlugin},
	"query_transport":    {query("transport"), (*adminCall).queryTransport},
	"query_eventhandler": {query("handler"), (*adminCall).queryEventHandler},
	"query_logger":       {query("logger"), nothing("Invalid logger")},
	"custom_event": {
		[]Param{{Name: "schema", Type: String, Required: true}, {Name: "data", Type: Objects, Required: true}},
		(*adminCall).customEvent,
	},
	"custom_logline":  {[]Param{{Name: "line", Type: String, Required: true}, {Name: "level", Type: PosInt}}, (*adminCall).customLogLine},
	"resolve_address": {[]Param{{Name: "address", Type: String, Required: true}}, (*adminCall).resolveAddress},
	"test_stun": {[]Param{
		{Name: "address", Type: String, Required: true},
		{Name: "port", Type: PosInt, Required: true},
		{Name: "localport", Type: PosInt},
	}, (*adminCall).testSTUN},
	"loops_info": {nil, (*adminCall).loopsInfo},
}

func query(part string) []Param {
	return []Param{{Name: part, Type: String, Required: true}, {Name: "request", Type: Objects}}
}

// nothing refuses queries of parts that this server has none of.
func nothing(sentence string) func(*adminCall) (object, *Error) {
	return func(*adminCall) (object, *Error) { return nil, errorf(CodeNoPlugin, "%s", sentence) }
}

func (c *adminCall) listSessions() (object, *Error) {
	return object{"sessions": c.server.Sessions()}, nil
}

func (c *adminCall) messagePlugin() (object, *Error) {
	p := c.server.plugins[c.String("plugin")]
	if p == nil {
		return nil, errorf(CodeNoPlugin, "Invalid plugin")
	}
	admin, ok := p.Plugin.(AdminPlugin)
	if !ok {
		return nil, errorf(CodeUnknown, "Plugin doesn't support Admin API messages")
	}
	ctx, cancel := context.WithTimeout(c.ctx, taskTime)
	defer cancel()
	return response(admin.Admin(ctx, c.Object.Object("request"))), nil
}

func (c *adminCall) queryTransport() (object, *Error) {
	ask := c.admin.cfg.Transports[c.String("transport")]
	if ask == nil {
		return nil, errorf(CodeNoPlugin, "Invalid transport")
	}
	return response(ask(c.Object.Object("request"))), nil
}

func response(v any) object {
	if v == nil {
		v = object{}
	}
	return object{"response": v}
}

// customEvent tells event handlers what the operator wants to tell.
func (c *adminCall) customEvent() (object, *Error) {
	c.server.cfg.Events.EmitBody(events.External, 0, events.Origin{}, object{"schema": c.String("schema"), "data": c.Object.Object("data")})
	return object{}, nil
}

// resolve looks a name up.
func (c *adminCall) resolve(ctx context.Context) (netip.Addr, *Error) {
	l, err := net.DefaultResolver.LookupNetIP(ctx, "ip", c.String("address"))
	if err != nil || len(l) == 0 {
		return netip.Addr{}, errorf(CodeUnknown, "Could not resolve address")
	}
	return l[0].Unmap(), nil
}

func (c *adminCall) resolveAddress() (object, *Error) {
	ctx, cancel := context.WithTimeout(c.ctx, lookupTime)
	defer cancel()
	began := time.Now()
	ip, fault := c.resolve(ctx)
	if fault != nil {
		return nil, fault
	}
	return object{"ip": ip.String(), "elapsed": time.Since(began).Microseconds()}, nil
}

func (c *adminCall) testSTUN() (object, *Error) {
	ctx, cancel := context.WithTimeout(c.ctx, lookupTime)
	defer cancel()
	began := time.Now()
	ip, fault := c.resolve(ctx)
	if fault != nil {
		return nil, fault
	}
	port, _ := c.Uint("port")
	local, _ := c.Uint("localport")
	if port == 0 || port > math.MaxUint16 || local > math.MaxUint16 || c.admin.cfg.STUN == nil {
		return nil, errorf(CodeUnknown, "STUN request failed")
	}
	public, err := c.admin.cfg.STUN(ctx, netip.AddrPortFrom(ip, uint16(port)), uint16(local))
	if err != nil {
		c.server.log.Debug("STUN test failed", "server", ip, "port", port, "error", err)
		return nil, errorf(CodeUnknown, "STUN request failed")
	}
	return object{"public_ip": public.Addr().String(), "public_port": public.Port(), "elapsed": time.Since(began).Microseconds()}, nil
}

// loopsInfo tells of Janus's static event loops, of which there are none: the media plane has loops of its own.
func (c *adminCall) loopsInfo() (object, *Error) { return object{"loops": []any{}}, nil }
