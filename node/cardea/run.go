package main

import (
	"context"
	"flag"
	"io"

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

// run is the command that runs a node.
func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	sources := config.Flags(fs)
	if err := parse(fs, args, out, "Usage: cardea run [options]\n\nRuns a node until SIGTERM or SIGINT.\n"+configUsage, config.WriteHelp); err != nil {
		return err
	}
	c, _, err := load(sources)
	if err != nil {
		return err
	}
	return node.Run(ctx, c)
}
