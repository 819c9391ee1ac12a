package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"cardea/node"
	"cardea/node/config"
)

// checkConfig tells what is wrong with a configuration, or prints the sample file.
func checkConfig(_ context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("check-config", flag.ContinueOnError)
	sources := config.Flags(fs)
	sample := fs.Bool("sample", false, "")
	const usage = `Usage: cardea check-config [--sample] [options]

Checks the configuration that "cardea run" with the same options would use, and the files that it names, as a start does first,
and tells all that is wrong with them. No port is opened, nothing is written and nobody is asked.
  --sample
        Print a file with every option at its default instead.
`
	if err := parse(fs, args, out, usage+configUsage, config.WriteHelp); err != nil {
		return err
	}
	if *sample {
		return config.WriteSample(out)
	}
	c, file, err := load(sources)
	if err != nil {
		return err
	}
	warnings, err := node.Check(c)
	for _, w := range warnings {
		if _, err := fmt.Fprintln(out, "warning:", w); err != nil {
			return err
		}
	}
	if err != nil {
		return faulty(err)
	}
	if file == "" {
		file = "no file, environment and defaults"
	}
	_, err = fmt.Fprintf(out, "configuration is valid (%s)\n", file)
	return err
}
