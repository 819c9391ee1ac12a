// Command bench measures a node beside a real Janus, on one machine and in one run, because only ratios measured so mean
// anything. It prints a Markdown table.
//
// Each server is started afresh for each load, on the same address, and put under it by "cardea load": one publisher (VP8 and
// Opus) and as many subscribers as asked for, who join at 50 a second. Janus runs as Debian packages it, twice: with its
// defaults, which give each client a thread, and with two event loops. Everything shares the machine, so loopback's receive
// path is charged to whoever sends, and the generator takes its part of the CPU: the table says how much.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	bin         string
	subscribers []int
	duration    time.Duration
	rounds      int
}

func parse(args []string) (s settings, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&s.bin, "bin", "bin/cardea", "the program to measure, which also makes the load")
	subscribers := fs.String("subscribers", "10 50 100", "numbers of subscribers, one after the other")
	fs.DurationVar(&s.duration, "duration", 20*time.Second, "how long to measure each")
	fs.IntVar(&s.rounds, "rounds", 1, "how often; medians are shown")
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	for _, f := range strings.FieldsFunc(*subscribers, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.Atoi(f)
		if err != nil || n < 1 {
			return s, fmt.Errorf("subscribers: %q is no number of subscribers", f)
		}
		s.subscribers = append(s.subscribers, n)
	}
	if len(s.subscribers) == 0 || s.rounds < 1 {
		return s, errors.New("subscribers, rounds: want at least one")
	}
	if s.bin, err = exec.LookPath(s.bin); err != nil {
		return s, fmt.Errorf("%w (make builds it)", err)
	}
	return s, nil
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cardea-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	contestants := contestants(s.bin)
	var results []result
	for range s.rounds {
		for _, n := range s.subscribers {
			for _, c := range contestants {
				r, err := c.measure(ctx, s, dir, n)
				if err != nil {
					return fmt.Errorf("%s, %d subscribers: %w", c.name, n, err)
				}
				results = append(results, r)
			}
		}
	}
	return writeTable(os.Stdout, s, contestants, results)
}
