package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"cardea/node/console"
)

const drainUsage = `Usage: cardea drain [--undo] [--deadline DURATION] [options] [NODE]

Has a node take no new clients and end when the present ones are gone: clients that can (nearest.js) move to other nodes one
by one without a gap, what the node does for others is done elsewhere, and who is still there at the deadline is hung up.
Returns at once. NODE is an id, the beginning of one, or a name, as "cardea nodes" lists them; else it is the node asked.
  --deadline DURATION
        When the node ends at the latest (node.drain_timeout of that node). Said again, it counts from now.
  --undo
        The node takes clients again, unless it has begun to hang up.
`

// drain drains a node, or takes that back.
func drain(ctx context.Context, args []string, out io.Writer) error {
	var r console.DrainRequest
	var deadline time.Duration
	fs := flag.NewFlagSet("drain", flag.ContinueOnError)
	fs.DurationVar(&deadline, "deadline", 0, "")
	fs.BoolVar(&r.Undo, "undo", false, "")
	client, asJSON, err := askWith(fs, drainUsage, args, out)
	if err != nil {
		return err
	}
	for _, arg := range fs.Args() {
		if strings.HasPrefix(arg, "-") {
			return usageError{fmt.Errorf("%s stands behind the node: options go before it", arg)}
		}
	}
	if fs.NArg() > 1 {
		return usageError{errors.New("one node at a time")}
	}
	r.Node = fs.Arg(0)
	if r.DeadlineSeconds = deadline.Seconds(); deadline < 0 || r.Undo && deadline != 0 {
		return usageError{errors.New("--deadline must be positive, and goes without --undo")}
	}
	d, err := client.Drain(ctx, r)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, d)
	}
	name := printable(cmp.Or(d.Label, d.Node)) // an older node says no label
	if !d.Draining {
		_, err = fmt.Fprintf(out, "%s takes clients again\n", name)
		return err
	}
	within := time.Duration(d.DeadlineSeconds * float64(time.Second)).Round(time.Second)
	if _, err = fmt.Fprintf(out, "%s takes no new clients, and ends when the present ones are gone, in %v at the latest\n", name, within); err != nil || d.Waiting == nil {
		return err
	}
	_, err = fmt.Fprintf(out, "it waits for %s now (cardea status, the console and its log say so as it goes on)\n", d.Waiting)
	return err
}
