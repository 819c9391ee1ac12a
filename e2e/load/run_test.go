package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"cardea/node"
	"cardea/node/config"
)

// serve runs a node on an address of its own until the test ends and returns the URL of its Janus API.
func serve(t *testing.T, address string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	c.Node.Bind = netip.MustParseAddr(address)
	c.Node.StopTimeout = time.Second
	// The machine is busy with other tests: nothing is to be refused for it, nor taken for a slow network.
	c.Limits.CPU, c.Limits.SchedulingLatency = 0, 0
	c.Media.MinBitrate, c.Media.StartBitrate = 20_000_000, 20_000_000
	n, err := node.Listen(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return fmt.Sprintf("ws://%s:%d", address, c.Janus.WSPort)
}

// TestRun puts a node in this process under a small load.
func TestRun(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *Config)
	}{
		{"rooms", func(c *Config) { c.Rooms, c.Publishers, c.Subscribers = 2, 2, 2 }},
		{"simulcast, trickled", func(c *Config) { c.Simulcast, c.Trickle, c.Subscribers = true, true, 2 }},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Default()
			c.URL = serve(t, fmt.Sprintf("127.0.7.%d", 60+i))
			c.Bitrate = 500_000
			c.WarmUp, c.Duration, c.JoinRate, c.PID = 500*time.Millisecond, 2*time.Second, 50, os.Getpid()
			tt.change(&c)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r, err := Run(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Errors) > 0 || r.Publishers.Joined != c.Rooms*c.Publishers || r.Subscribers.Joined != c.Rooms*c.Subscribers {
				t.Errorf("joined %+v %+v: %v", r.Publishers, r.Subscribers, r.Errors)
			}
			p := r.Packets
			// 50 audio packets and at least 30 of video a second, and time for some hiccups.
			if minimum := uint64(2 * 50 * c.Rooms * c.Publishers * c.Subscribers); p.Expected < minimum || p.Delivered < p.Expected*8/10 || p.Delivered > p.Expected || p.Foreign != 0 {
				t.Errorf("packets %+v", p)
			}
			if r.Delay.Count != p.Delivered || r.Delay.P50 <= 0 || r.Delay.Max < r.Delay.P99 {
				t.Errorf("delay %+v", r.Delay)
			}
			if n := uint64(c.Rooms * c.Publishers * c.Subscribers); r.FirstFrame.FromJoin.Count != n || r.FirstFrame.Missing != 0 || r.FirstFrame.FromStart.P50 > r.FirstFrame.FromJoin.P50 {
				t.Errorf("first frames %+v", r.FirstFrame)
			}
			if r.Server == nil || r.Server.CPUNSPerPacket <= 0 || r.Server.RSS <= 0 || r.Generator.CPUSeconds <= 0 {
				t.Errorf("cost %+v %+v", r.Server, r.Generator)
			}
			var asJSON, asTable bytes.Buffer
			if err := errors.Join(r.WriteJSON(&asJSON), r.WriteTable(&asTable)); err != nil {
				t.Error(err)
			}
			var back Report
			if err := json.Unmarshal(asJSON.Bytes(), &back); err != nil || back.Packets != p {
				t.Errorf("JSON: %v\n%s", err, asJSON.String())
			}
			if !strings.Contains(asTable.String(), "first frame") {
				t.Error(asTable.String())
			}
		})
	}
}

// TestRunFails wants errors where nothing can be measured, and clients gone all the same.
func TestRunFails(t *testing.T) {
	c := Default()
	c.URL = "ws://127.0.0.1:1"
	if _, err := Run(t.Context(), c); err == nil {
		t.Error("ran against nobody")
	}
	if _, err := Run(t.Context(), Config{}); err == nil {
		t.Error("ran without a configuration")
	}
	c.URL = serve(t, "127.0.7.62")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // while publishers settle
	defer cancel()
	if _, err := Run(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted: %v", err)
	}
	c.PID = 1 << 30
	if _, err := Run(t.Context(), c); err == nil {
		t.Error("measured a process that is not there")
	}
}
