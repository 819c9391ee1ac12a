// Command cardea is a node of the mesh: Janus API signaling, media forwarding, STUN and TURN in one program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// command is one thing the program does. run gets what stands after the command's name and returns when it is done.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, out io.Writer) error
}

var commands = []command{
	{"run", "run a node until SIGTERM or SIGINT", run},
	{"status", "tell how a node is doing, by default the one on this machine", status},
	{"rooms", "list the rooms of all nodes", rooms},
	{"nodes", "list all nodes of the mesh", nodes},
	{"token", "print an invitation for a new node", token},
	{"join", "get an invitation for this machine, without a person", join},
	{"drain", "have a node take no new clients, and end when the present ones are gone", drain},
	{"expel", "end a node's membership for good", expel},
	{"keys", "replace the key that nodes gossip with", keys},
	{"check-config", "check a configuration and the files it names, or print a sample", checkConfig},
	{"load", "put a Janus API under load and measure it", generateLoad},
	{"version", "print the version", printVersion},
}

// Exit codes.
const (
	exitFailure = 1 // what was asked for did not work
	exitUsage   = 2 // wrong command line or configuration
)

func main() {
	ends := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if len(os.Args) > 1 && os.Args[1] == "run" {
		ends = ends[:1] // a node that is told to end drains first
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(exit(os.Stderr, dispatch(ctx, os.Args[1:], os.Stdout)))
}

// exit reports an error and returns the program's exit code.
func exit(w io.Writer, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(w, "cardea:", strings.ReplaceAll(err.Error(), "\n", "\n  ")) // one line each where there are several
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}
