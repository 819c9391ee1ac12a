package janus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/sdp"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const probe = "janus.plugin.probe"

// plugin is a plugin that does what its messages say.
type plugin struct {
	refuse bool
	seen   func(what string)     // told of each call, if set
	made   func(h *janus.Handle) // told of each handle, if set
	block  <-chan struct{}       // what the request "block" waits for
}

func (p *plugin) Info() janus.PluginInfo {
	return janus.PluginInfo{Package: probe, Name: "Probe", Author: "test", Description: "does as told", Version: 3, VersionString: "0.0.3", Hint: "wait"}
}

func (p *plugin) Attach(h *janus.Handle) (janus.Instance, error) {
	if p.refuse {
		return nil, errors.New("refused")
	}
	if p.made != nil {
		p.made(h)
	}
	return &instance{p: p, h: h}, nil
}

type instance struct {
	p *plugin
	h *janus.Handle
}

func (i *instance) note(what string) {
	if i.p.seen != nil {
		i.p.seen(what)
	}
}

func (i *instance) Sync(_ context.Context, m *janus.Message) (any, bool) {
	switch r := m.Body.String("request"); r {
	case "sync":
		return map[string]any{"sync": m.Body["value"]}, true
	case "unencodable":
		return func() {}, true
	case "panic-sync":
		panic("sync")
	case "signed":
		return map[string]any{"ok": i.h.SignedToken(m.Body.String("token"), m.Body.String("descriptor")), "on": i.h.TokensSigned()}, true
	}
	return nil, false
}

func (i *instance) Async(ctx context.Context, m *janus.Message) {
	var jsep *janus.JSEP
	var err error
	if m.JSEP == nil && (m.Body.String("request") == "answer" || m.Body.String("request") == "accept") {
		return
	}
	switch r := m.Body.String("request"); r {
	case "answer":
		lines := sdp.NewAnswer(m.JSEP.SDP, func(int, *sdp.Media) sdp.Choice {
			return sdp.Choice{Direction: plane.RecvOnly}
		})
		jsep, err = i.h.Answer(ctx, lines, sdp.Options{Name: "probe"})
	case "offer", "restart":
		l := sdp.NewOffer(sdp.Feed{Kind: plane.Audio, Mid: "0", Direction: plane.SendOnly, Codec: "opus"})
		jsep, err = i.h.Offer(ctx, []sdp.Media{l}, sdp.Options{Name: "probe", Restart: r == "restart", E2EE: m.Body.Bool("e2ee", false)})
	case "accept":
		err = i.h.Accept(ctx, m.JSEP)
	case "close":
		i.h.Push("", map[string]any{"closing": true}, nil)
		i.h.ClosePeer(ctx, m.Body.String("reason"))
	case "panic":
		panic("async")
	case "block":
		select {
		case <-i.p.block:
		case <-ctx.Done():
			err = ctx.Err()
		}
	case "later":
		i.h.Do(func(context.Context) { i.h.Push("", map[string]any{"later": true}, nil) })
	case "unencodable":
		i.h.Push(m.Transaction, func() {}, nil)
	}
	if err != nil {
		i.h.Push(m.Transaction, map[string]any{"error": err.Error()}, nil)
		return
	}
	i.h.Push(m.Transaction, map[string]any{"done": m.Body["request"]}, jsep)
}

func (i *instance) Media(_ context.Context, e plane.Event) { i.note("media " + eventName(e.Type)) }
func (i *instance) Hangup(context.Context) {
	i.note("hangup")
	i.h.Push("", map[string]any{"hangup": true}, nil)
}
func (i *instance) Detach(context.Context) { i.note("detach") }
func (i *instance) Query() any             { return map[string]any{"probe": true} }

func eventName(t plane.EventType) string {
	return [...]string{"", "up", "down", "ice-failed", "receiving", "slowlink", "layers", "talking"}[t]
}

// within fails the test when f takes longer than d.
func within(t *testing.T, d time.Duration, f func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !f(); {
		if time.Now().After(end) {
			t.Fatal("it did not happen in time")
		}
		time.Sleep(time.Millisecond)
	}
}
