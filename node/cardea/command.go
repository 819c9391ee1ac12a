package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"cardea/node/config"
)

// usageError is a wrong command line or configuration.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (e usageError) Unwrap() error { return e.error }

// dispatch runs the command that args begin with.
func dispatch(ctx context.Context, args []string, out io.Writer) error {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) > 0 && args[0] != "help" {
			return dispatch(ctx, []string{args[0], "--help"}, out)
		}
		return help(out)
	case "--version", "-version":
		name = "version"
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	if i < 0 {
		return usageError{fmt.Errorf("no command %q (cardea help lists them)", name)}
	}
	return commands[i].run(ctx, args, out)
}

// help lists the commands.
func help(out io.Writer) error {
	var b strings.Builder
	b.WriteString("Cardea, an SFU for Janus clients.\n\nUsage: cardea COMMAND [options]\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-14s%s\n", c.name, c.summary)
	}
	b.WriteString("\ncardea COMMAND --help tells a command's options.\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// parse is parseFlags for a command that takes no arguments besides.
func parse(fs *flag.FlagSet, args []string, out io.Writer, usage string, options func(io.Writer) error) error {
	err := parseFlags(fs, args, out, usage, options)
	if err == nil && fs.NArg() > 0 {
		err = notOption(fs)
	}
	return err
}

// notOption is the fault of an argument where there may be none.
func notOption(fs *flag.FlagSet) error {
	return usageError{fmt.Errorf("%q is not an option (cardea %s --help lists them)", fs.Arg(0), fs.Name())}
}

// parseFlags reads a command's flags. It prints usage, then what options writes (nil: nothing), when help is asked for, and
// returns flag.ErrHelp then.
func parseFlags(fs *flag.FlagSet, args []string, out io.Writer, usage string, options func(io.Writer) error) error {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	switch {
	case err == flag.ErrHelp: //nolint:errorlint // Parse returns it as it is
		if _, err := io.WriteString(out, usage); err != nil {
			return err
		}
		if options != nil {
			if err := options(out); err != nil {
				return err
			}
		}
		return flag.ErrHelp
	case err != nil:
		return usageError{fmt.Errorf("%w (cardea %s --help lists the options)", err, fs.Name())}
	}
	return nil
}

// load reads the configuration from file, environment and flags.
func load(s *config.Sources) (c *config.Config, file string, err error) {
	c, file, err = s.Load(os.Environ())
	if err != nil {
		return nil, file, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, file, nil
}
