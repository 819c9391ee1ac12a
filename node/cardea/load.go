package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"

	generator "cardea/e2e/load"
)

const loadUsage = `Usage: cardea load --url ws://HOST:PORT [options]

Puts a server under load over its Janus API (Cardea, or a real Janus with the VideoRoom plugin) and prints what came of it as
JSON on standard output, and a summary on standard error. Exit code 0 when packets were forwarded.
  --url URL
        The WebSocket of the Janus API, such as ws://127.0.0.1:8188.
  --rooms N, --publishers N, --subscribers N
        So many rooms (1), each with so many publishers (1) and so many subscribers (10) to all of them.
  --join-rate N
        So many clients join in a second (20): the publishers, then the subscribers.
  --join-timeout DURATION
        How long one client may take to join (20s).
  --warm-up DURATION
        How long to wait after the last join (3s).
  --duration DURATION
        How long to measure (20s).
  --bitrate N, --fps N
        Bits (2000000) and frames (30) a second of each publisher's video, VP8; with simulcast, of its best layer.
        Frames are paced as browsers do: bursts every 5 ms. The bitrate does not adapt. Each publisher also sends Opus.
  --keyframe-interval DURATION
        A keyframe at least so often (10s); 0: only when one is asked for, which is answered at most every 300 ms.
  --simulcast
        Three layers, rids h, m and l.
  --trickle
        Send candidates one by one rather than in the session description.
  --local ADDRESS
        The address of the clients' sockets; else the one that leads to the server.
  --pid N
        The server's process on this machine: measure its CPU time and memory.

A server that wants them gets CARDEA_LOAD_API_SECRET, CARDEA_LOAD_TOKEN and CARDEA_LOAD_ADMIN_KEY from the environment.
`

// generateLoad is the command that puts a server under load.
func generateLoad(ctx context.Context, args []string, out io.Writer) error {
	c := generator.Default()
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	fs.StringVar(&c.URL, "url", "", "")
	fs.IntVar(&c.Rooms, "rooms", c.Rooms, "")
	fs.IntVar(&c.Publishers, "publishers", c.Publishers, "")
	fs.IntVar(&c.Subscribers, "subscribers", c.Subscribers, "")
	fs.Float64Var(&c.JoinRate, "join-rate", c.JoinRate, "")
	fs.DurationVar(&c.JoinTimeout, "join-timeout", c.JoinTimeout, "")
	fs.DurationVar(&c.WarmUp, "warm-up", c.WarmUp, "")
	fs.DurationVar(&c.Duration, "duration", c.Duration, "")
	fs.IntVar(&c.Bitrate, "bitrate", c.Bitrate, "")
	fs.IntVar(&c.FPS, "fps", c.FPS, "")
	fs.DurationVar(&c.KeyframeInterval, "keyframe-interval", c.KeyframeInterval, "")
	fs.BoolVar(&c.Simulcast, "simulcast", false, "")
	fs.BoolVar(&c.Trickle, "trickle", false, "")
	local := fs.String("local", "", "")
	fs.IntVar(&c.PID, "pid", 0, "")
	if err := parse(fs, args, out, loadUsage, nil); err != nil {
		return err
	}
	if *local != "" {
		var err error
		if c.Local, err = netip.ParseAddr(*local); err != nil {
			return usageError{fmt.Errorf("--local: %q: want an IP address", *local)}
		}
	}
	c.APISecret, c.Token, c.AdminKey = os.Getenv("CARDEA_LOAD_API_SECRET"), os.Getenv("CARDEA_LOAD_TOKEN"), os.Getenv("CARDEA_LOAD_ADMIN_KEY")
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	report, err := generator.Run(ctx, c)
	if err != nil {
		return err
	}
	if err := errors.Join(report.WriteTable(os.Stderr), report.WriteJSON(out)); err != nil {
		return err
	}
	if !report.Forwarded() {
		return errors.New("the server forwarded nothing")
	}
	return nil
}
