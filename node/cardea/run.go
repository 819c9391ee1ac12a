package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"cardea/mesh/member"
	"cardea/node"
	"cardea/node/config"
)

const configUsage = `
The configuration is put together from, later ones winning: defaults, a YAML file, the environment, flags.
  --config FILE
        The file; else CARDEA_CONFIG names it; else cardea.yaml, then /etc/cardea/cardea.yaml, if there is one.
        An option below is said as janus.ws_port in the file, as CARDEA_JANUS_WS_PORT in the environment.
        cardea check-config --sample prints a file with all of them. Secrets are taken from the file, the
        environment, or a file of their own; never from the command line, which everybody on the machine can read.
`

const runUsage = `Usage: cardea run [--join INVITATION] [options]

Runs a node until SIGTERM or SIGINT (Ctrl-C). SIGTERM drains it first, where other nodes can take its clients (node.drain_timeout);
SIGINT, or a second SIGTERM, stops it at once. SIGHUP has it read its configuration and certificate again, and take over what can
change while it runs; it logs what cannot.
  --join INVITATION
        Become a member of the cluster that an invitation is from ("cardea token" there prints one); it stands in for what
        mesh.join says. A node that is a member already ignores it. Everybody on this machine can read it here; while
        it is good, a file (--mesh-join-file) or CARDEA_MESH_JOIN keeps it from them. Addresses of nodes may follow, joined by commas.
`

// run is the command that runs a node.
func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	sources := config.Flags(fs)
	join := fs.String("join", "", "")
	if err := parse(fs, args, out, runUsage+configUsage, config.WriteHelp); err != nil {
		return err
	}
	again := func() (*config.Config, error) { return runConfig(sources, *join) }
	c, err := again()
	if err != nil {
		return err
	}
	return faulty(node.Run(ctx, c, again, out))
}

// runConfig reads the configuration; join stands in for what it says of mesh.join.
func runConfig(sources *config.Sources, join string) (*config.Config, error) {
	c, _, err := load(sources)
	if err != nil || join == "" {
		return c, err
	}
	c.Mesh.Join = nil
	for j := range strings.SplitSeq(join, ",") {
		c.Mesh.Join = append(c.Mesh.Join, config.Secret(strings.TrimSpace(j)))
	}
	if err := c.Validate(); err != nil {
		return nil, usageError{fmt.Errorf("--join: %w", err)}
	}
	invitation := func(j config.Secret) bool { return strings.HasPrefix(string(j), member.InvitationPrefix) }
	if !slices.ContainsFunc(c.Mesh.Join, invitation) && !node.IsMember(c) {
		return nil, usageError{errors.New("--join: want an invitation (" + member.InvitationPrefix + `..., as "cardea token" prints it at a member), without which a new node is not let in`)}
	}
	return c, nil
}
