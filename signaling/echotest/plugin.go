package echotest

import (
	"context"

	"cardea/signaling/janus"
)

// Package is what clients attach to.
const Package = "janus.plugin.echotest"

// Plugin makes an echo of each of its handles. The zero value is ready.
type Plugin struct{}

var _ janus.AdminPlugin = Plugin{}

// Info describes the plugin as Janus's describes itself: clients tell plugins apart by it.
func (Plugin) Info() janus.PluginInfo {
	return janus.PluginInfo{
		Package:       Package,
		Name:          "JANUS EchoTest plugin",
		Author:        "Cardea",
		Description:   "Sends a client's own media and data channel messages back to it.",
		VersionString: "0.0.7",
		Version:       7,
		Hint:          "I'm taking my time!",
	}
}

// Attach makes the echo of a handle.
func (Plugin) Attach(h *janus.Handle) (janus.Instance, error) {
	e := &echo{handle: h}
	e.reset()
	e.publishInfo()
	return e, nil
}

// Admin answers a request of the admin API with the request itself: there is nothing to manage in an echo.
func (Plugin) Admin(_ context.Context, body janus.Object) any {
	if body == nil {
		return nil
	}
	return body
}
