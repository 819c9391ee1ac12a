package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"cardea/node/console"
)

const expelUsage = `Usage: cardea expel [options] NODE

Ends a node's membership for good, such as that of a stolen machine: no node talks to it any more, it gets no new certificate, its
participants leave their rooms, the key that nodes gossip with is replaced, and all open invitations are void. Returns when the
new key is in use everywhere. NODE is an id, the beginning of one, or a name, as "cardea nodes" lists them; of a node that is not
there, the whole id (cardea nodes --json). The machine can come back only as a new node, with a new identity and invitation.
A node that holds the authority's key (* in "cardea nodes") is expelled by asking another one that holds it; it can still make
itself a member again: the runbook says what to do.
`

// expel ends a node's membership.
func expel(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("expel", flag.ContinueOnError)
	client, asJSON, err := askWith(fs, expelUsage, args, out)
	if err != nil {
		return err
	}
	if fs.NArg() != 1 || fs.Arg(0) == "" {
		return usageError{errors.New("one node, after all options")}
	}
	client.HTTP.Timeout = rotateTimeout
	e, err := client.Expel(ctx, console.ExpelRequest{Node: fs.Arg(0)})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, e)
	}
	_, err = io.WriteString(out, expelled(e))
	return err
}

// expelled says what came of it, and what is left to do.
func expelled(e console.Expulsion) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s) is expelled; open invitations are void\n", printable(cmp.Or(e.Label, e.ID)), printable(e.ID))
	if len(e.Behind) == 0 {
		b.WriteString("the new key is in use on all nodes\n")
	} else {
		fmt.Fprintf(&b, "these nodes do not use the new key yet; they get it as soon as they can be reached: %s\n", printable(strings.Join(e.Behind, ", ")))
	}
	switch {
	case e.Authority:
		b.WriteString("it held the authority's key, with which it can make itself a member again: begin a new cluster (runbook, \"Expel a node\")\n")
	case !e.There:
		b.WriteString("it was not there; if it held the authority's key, begin a new cluster (runbook, \"Expel a node\")\n")
	}
	return b.String()
}
