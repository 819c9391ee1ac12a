package main

import (
	"context"
	"errors"
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
		names := make([]string, 0, len(commands))
		for _, c := range commands {
			names = append(names, c.name)
		}
		return usageError{errors.New(config.Unknown("command", name, names) + " (cardea help lists them)")}
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

// load reads the configuration from file, environment and flags.
func load(s *config.Sources) (c *config.Config, file string, err error) {
	c, file, err = s.Load(os.Environ())
	if err != nil {
		return nil, file, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, file, nil
}

// faulty makes an error about the configuration, or about a file that it names, a [usageError].
func faulty(err error) error {
	if faults, ok := errors.AsType[config.Faults](err); ok {
		return usageError{fmt.Errorf("configuration: %w", faults)}
	}
	return err
}
