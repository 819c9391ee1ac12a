package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"cardea/node"
	"cardea/node/config"
	"cardea/node/console"
)

// askTimeout bounds one question to a node.
const askTimeout = 10 * time.Second

const askUsage = `  --url URL
        The node's console, such as http://192.0.2.1:9600. Else that of the node on this machine, by its configuration.
  --token-file FILE
        The file with the console's token, if one is needed. Else that of the configuration, if --url is not given.
  --config FILE
        The configuration; as for "cardea run", when not given.
  --json
        Print JSON.
`

// ask parses the flags of a command that asks a node, and returns whom to ask. own (nil: nothing) defines flags of the
// command's own.
func ask(name, usage string, args []string, out io.Writer, own func(*flag.FlagSet)) (c console.Client, asJSON bool, err error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	if own != nil {
		own(fs)
	}
	c, asJSON, err = askWith(fs, usage, args, out)
	if err == nil && fs.NArg() > 0 {
		err = notOption(fs)
	}
	return c, asJSON, err
}

// askWith is ask for a command with flags of its own, which may take arguments besides.
func askWith(fs *flag.FlagSet, usage string, args []string, out io.Writer) (c console.Client, asJSON bool, err error) {
	url := fs.String("url", "", "")
	tokenFile := fs.String("token-file", "", "")
	file := fs.String("config", "", "")
	fs.BoolVar(&asJSON, "json", false, "")
	if err := parseFlags(fs, args, out, usage+askUsage, nil); err != nil {
		return c, false, err
	}
	c = console.Client{URL: *url, HTTP: &http.Client{Timeout: askTimeout}}
	if *tokenFile != "" {
		b, err := os.ReadFile(*tokenFile)
		if err != nil {
			return c, false, usageError{err}
		}
		c.Token = strings.TrimSpace(string(b))
	}
	if c.URL != "" {
		return c, asJSON, nil
	}
	options := flag.NewFlagSet("", flag.ContinueOnError)
	sources := config.Flags(options)
	if *file != "" {
		if err := options.Parse([]string{"--config", *file}); err != nil {
			return c, false, usageError{err}
		}
	}
	cfg, _, err := load(sources)
	if err != nil {
		return c, false, fmt.Errorf("%w\n(--url asks a node without its configuration)", err)
	}
	if c.URL = node.ConsoleURL(cfg); c.URL == "" {
		return c, false, usageError{errors.New("the configuration opens no HTTP port for the console (console.port): say with --url where a node is")}
	}
	c.Token = cmp.Or(c.Token, string(cfg.Console.Token))
	return c, asJSON, nil
}

// errNotReady makes the exit code of status tell whether the node is ready.
var errNotReady = errors.New("the node is not ready")

const statusUsage = `Usage: cardea status [options]

Tells how a node is doing. Exit code 0 when it is ready for new clients, 1 when it is not or does not answer.
`

// status prints the state of a node.
func status(ctx context.Context, args []string, out io.Writer) error {
	client, asJSON, err := ask("status", statusUsage, args, out, nil)
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(out, s)
	} else {
		err = printStatus(out, s)
	}
	if err == nil && !s.Ready {
		err = fmt.Errorf("%w: %s", errNotReady, s.Reason)
	}
	return err
}

func printStatus(out io.Writer, s console.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) } // errors show in Flush
	state := "ready"
	if !s.Ready {
		state = "not ready: " + s.Reason
	}
	row("node", "%s", strings.TrimSpace(s.Node+" "+s.Region))
	if s.Leaving != nil {
		state += "; it waits for " + s.Leaving.Waiting.String()
	}
	row("state", "%s", state)
	row("version", "%s", s.Version)
	row("up", "%s", time.Since(s.Started).Round(time.Second))
	row("load", "%.0f %% of what it takes (CPU %.0f %%, work starts %.1f ms late)", s.Load.Share*100, s.Load.CPU*100, s.Load.LatencyMS)
	row("memory", "%d MiB, heap %d MiB, limit %d MiB", s.Memory.Total>>20, s.Memory.Heap>>20, s.Memory.Limit>>20)
	row("sessions", "%d (%s)", s.Sessions, count(s.Handles, "handle", "handles"))
	connecting := ""
	if n := s.Peers - s.Connected; n > 0 {
		connecting = fmt.Sprintf(" (%d more connecting)", n)
	}
	row("calls", "%s with media%s, %s, %s", count(s.Connected, "client", "clients"), connecting, count(s.Streams, "stream", "streams"), count(s.Rooms, "room", "rooms"))
	row("mesh", "%s", meshLine(s))
	for i, l := range s.Listeners {
		name := ""
		if i == 0 {
			name = "listening"
		}
		row(name, "%s %s\t%s", l.Network, l.Address, l.Option)
	}
	return w.Flush()
}

// count is a number of things as people say it.
func count(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// meshLine sums the mesh up.
func meshLine(s console.Status) string {
	line := count(s.Nodes, "node", "nodes")
	if s.Draining > 0 {
		line += fmt.Sprintf(" (%d draining)", s.Draining)
	}
	if s.Nodes == 1 {
		return line + ", this one"
	}
	return line + fmt.Sprintf(", links to %d of them", s.Links)
}

const roomsUsage = `Usage: cardea rooms [options]

Lists the rooms of all nodes: who joined, who of them publishes and how many may, and the handles that subscribe to their streams, on
all nodes. A figure with a "+" is of those nodes that answered; there may be more.
`

// rooms prints the rooms of the mesh.
func rooms(ctx context.Context, args []string, out io.Writer) error {
	client, asJSON, err := ask("rooms", roomsUsage, args, out, nil)
	if err != nil {
		return err
	}
	list, err := client.Rooms(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, console.Rooms{Rooms: list})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROOM\tPLUGIN\tPARTICIPANTS\tPUBLISHERS\tSUBSCRIBERS\tDESCRIPTION")
	for _, r := range list {
		more := ""
		if r.Partial {
			more = "+"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d%s/%d\t%d%s\t%s\n",
			printable(r.Room), printable(r.Plugin), r.Participants, r.Publishers, more, r.MaxPublishers, r.Subscribers, more, printable(r.Description))
	}
	return w.Flush()
}

// printable keeps what clients chose from moving the cursor, or the columns.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
