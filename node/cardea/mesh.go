package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"cardea/node/config"
	"cardea/node/console"
)

// rotateTimeout bounds a rotation of keys: every node has to take the new one.
const rotateTimeout = 60 * time.Second

const tokenUsage = `Usage: cardea token [options]

Prints an invitation to the node's cluster. On the new machine, "cardea run --join INVITATION" is all that is needed; or the
invitation stands in CARDEA_MESH_JOIN, in the file that --mesh-join-file names, or as mesh.join in the configuration.
It is a secret while it is good.
  --ttl DURATION
        How long it is good (1h).
  --uses N
        How many nodes may come in with it (1).
  --authority
        The new nodes get the key of the cluster's authority, so that they can admit others too. Only a node that has
        it can say so: the first one, and those invited in this way. Have at least two.
`

// token prints an invitation.
func token(ctx context.Context, args []string, out io.Writer) error {
	var r console.InviteRequest
	ttl := time.Hour
	client, asJSON, err := ask("token", tokenUsage, args, out, func(fs *flag.FlagSet) {
		fs.DurationVar(&ttl, "ttl", ttl, "")
		fs.IntVar(&r.Uses, "uses", 1, "")
		fs.BoolVar(&r.Authority, "authority", false, "")
	})
	if err != nil {
		return err
	}
	if r.TTLSeconds = int(ttl / time.Second); r.TTLSeconds < 1 || r.Uses < 1 { // zero would mean the default
		return usageError{errors.New("--ttl and --uses must be at least 1s and 1")}
	}
	i, err := client.Invite(ctx, r)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, i)
	}
	_, err = fmt.Fprintln(out, i.Invitation)
	return err
}

const nodesUsage = `Usage: cardea nodes [options]

Lists all nodes of the mesh as the one asked sees them: the round trip to each, and the share of packets lost on the link to it.
A node with a * behind its id holds the key of the cluster's authority, and can admit others.
`

// nodes prints the nodes of the mesh.
func nodes(ctx context.Context, args []string, out io.Writer) error {
	client, asJSON, err := ask("nodes", nodesUsage, args, out, nil)
	if err != nil {
		return err
	}
	all, err := client.Nodes(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, console.MeshNodes{Nodes: all})
	}
	return printNodes(out, all)
}

func printNodes(out io.Writer, all []console.MeshNode) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tREGION\tSTATE\tPLANES\tLOAD\tRTT\tLOSS\tVERSION\tADDRESSES")
	length := console.IDLength(all)
	for _, n := range all {
		id := n.ID[:min(len(n.ID), length)]
		rtt, loss := "-", "-"
		switch {
		case n.Self:
			rtt = "self"
		case n.RTTMS != nil:
			rtt = fmt.Sprintf("%.1f ms", *n.RTTMS)
		}
		if n.Loss != nil {
			loss = fmt.Sprintf("%.2f %%", *n.Loss*100)
		}
		if n.Authority {
			id += "*"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f %%\t%s\t%s\t%s\t%s\n",
			printable(id), orDash(n.Name), orDash(n.Region), printable(n.State), orDash(strings.Join(n.Planes, ",")), n.Load*100, rtt, loss, orDash(n.Version), orDash(strings.Join(n.Addresses, " ")))
	}
	return w.Flush()
}

// orDash keeps a column from being empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

const keysUsage = `Usage: cardea keys rotate [options]

Replaces the key that gossip between nodes is encrypted with, without an interruption: all nodes get the new key first,
then they use it, and a minute later they forget the old one. Returns when it is in use everywhere.
`

// keys rotates the gossip keys.
func keys(ctx context.Context, args []string, out io.Writer) error {
	rotate := len(args) > 0 && !strings.HasPrefix(args[0], "-")
	if rotate {
		if args[0] != "rotate" {
			return usageError{errors.New(config.Unknown("action", args[0], []string{"rotate"}) + " (cardea keys --help tells more)")}
		}
		args = args[1:]
	}
	client, asJSON, err := ask("keys", keysUsage, args, out, nil)
	if err != nil {
		return err
	}
	if !rotate {
		return usageError{errors.New("cardea keys needs to be told what to do: cardea keys rotate")}
	}
	client.HTTP.Timeout = rotateTimeout
	begin := time.Now()
	if err := client.RotateKeys(ctx); err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, struct{}{})
	}
	_, err = fmt.Fprintf(out, "the new key is in use on all nodes (%.1f s)\n", time.Since(begin).Seconds())
	return err
}
