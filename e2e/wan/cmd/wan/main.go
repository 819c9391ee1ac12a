//go:build linux

// Command wan starts a wide-area network on this machine, says how to run programs at its sites, and changes its conditions by
// commands on standard input. See the README of package wan.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"cardea/e2e/wan"
)

func main() {
	file := flag.String("topology", "", "YAML `file` with sites and links (default: three regions, eu, us and ap)")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: wan [-topology FILE]\n\nCommands come from standard input; \"help\" lists them.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *file, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run builds the network and obeys the lines of in until its end, "quit", or the end of ctx. Then it removes everything.
func run(ctx context.Context, file string, in *os.File, out io.Writer) (err error) {
	topology, err := read(file)
	if err != nil {
		return err
	}
	network, err := wan.New(ctx, topology)
	if err != nil {
		return err
	}
	c := &console{network: network, out: out}
	defer func() {
		if failed := c.close(); err == nil {
			err = failed
		}
	}()
	c.sites()
	fmt.Fprintf(out, "\n\"help\" lists the commands.\n")

	terminal := false
	if info, err := in.Stat(); err == nil {
		terminal = info.Mode()&os.ModeCharDevice != 0
	}
	lines := make(chan string)
	go func() { // ends with the input, or with the program: nothing interrupts a read of a terminal
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		if terminal {
			fmt.Fprint(out, "wan> ")
		}
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			quit, err := c.execute(ctx, line)
			if err != nil {
				fmt.Fprintln(out, "error:", err)
			}
			if quit {
				return nil
			}
		}
	}
}

func read(file string) (wan.Topology, error) {
	if file == "" {
		return wan.Regions(), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return wan.Topology{}, err
	}
	defer f.Close()
	t, err := wan.ReadTopology(f)
	if err != nil {
		return t, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}
