//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"cardea/e2e/wan"
)

// console obeys commands. Not safe for concurrent use.
type console struct {
	network  *wan.Network
	out      io.Writer
	captures []recording
}

// recording is a capture and the file it goes to.
type recording struct {
	stop func() error
	file *os.File
}

// command is a line that the console understands.
type command struct {
	name, arguments, help string
	do                    func(c *console, ctx context.Context, rest string) error
}

// commands in the order of help. A function, since help needs it too.
func commands() []command {
	return []command{
		{"sites", "", "say again how to run programs at each site", (*console).doSites},
		{"show", "", "conditions of every direction", (*console).doShow},
		{"stats", "[PAIR]", "what became of the packets, and how well this machine keeps up", (*console).doStats},
		{"set", "PAIR NAME=VALUE...", "change conditions: set eu ap loss=1% burst=5 delay=110ms", (*console).doSet},
		{"partition", "SITE...", "cut these sites off from the others", (*console).doPartition},
		{"heal", "", "end all partitions", (*console).doHeal},
		{"ping", "SITE SITE [COUNT]", "round trips between the first hosts", (*console).doPing},
		{"run", "SITE COMMAND", "run a shell command at a site; with & at its end in the background", (*console).doRun},
		{"capture", "SITE>SITE FILE", "write what arrives as pcap, until quit", (*console).doCapture},
		{"help", "", "this list", (*console).doHelp},
		{"quit", "", "end all processes at the sites and remove everything (as the end of input does)", nil},
	}
}

// execute obeys one line, and reports whether it was the last.
func (c *console) execute(ctx context.Context, line string) (quit bool, err error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if name == "" || strings.HasPrefix(name, "#") {
		return false, nil
	}
	list := commands()
	i := slices.IndexFunc(list, func(k command) bool { return k.name == name })
	switch {
	case i < 0:
		return false, fmt.Errorf("no command %q; \"help\" lists them", name)
	case list[i].do == nil:
		return true, nil
	}
	return false, list[i].do(c, ctx, strings.TrimSpace(rest))
}

// close removes the network and finishes what was being written.
func (c *console) close() error {
	err := c.network.Close()
	for _, r := range c.captures {
		err = errors.Join(err, r.stop(), r.file.Close())
	}
	return err
}

// sites prints where everything is.
func (c *console) sites() {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SITE\tADDRESSES\tTO RUN A PROGRAM THERE")
	for _, s := range c.network.Sites() {
		addresses := make([]string, 0, 8)
		for _, a := range s.Addrs() {
			addresses = append(addresses, a.String())
		}
		fmt.Fprintf(w, "%s\t%s\tip netns exec %s COMMAND\n", s.Name(), strings.Join(addresses, " "), s.Namespace())
	}
	_ = w.Flush() // of a terminal
}

func (c *console) doSites(context.Context, string) error {
	c.sites()
	return nil
}

func (c *console) doHelp(context.Context, string) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, k := range commands() {
		fmt.Fprintf(w, "%s\t%s\n", strings.TrimSpace(k.name+" "+k.arguments), k.help)
	}
	fmt.Fprintln(w, "\nA PAIR is \"eu us\" for both directions, or \"eu>us\" for one. Conditions: delay or rtt, jitter, loss, burst, reorder,")
	fmt.Fprintln(w, "reorder-by, duplicate, rate, queue, queue-bytes, mtu, blackhole, down. What a line does not name stays.")
	return w.Flush()
}

// each calls f for every direction.
func (c *console) each(f func(from, to string)) {
	for _, from := range c.network.Sites() {
		for _, to := range c.network.Sites() {
			if from != to {
				f(from.Name(), to.Name())
			}
		}
	}
}

func (c *console) doShow(context.Context, string) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	c.each(func(from, to string) {
		fmt.Fprintf(w, "%s>%s\t%v\n", from, to, c.network.Conditions(from, to))
	})
	return w.Flush()
}

// pair reads the pair at the start of rest and makes sure that the network has it.
func (c *console) pair(text string) (from, to string, both bool, rest string, err error) {
	from, to, both, rest, err = wan.ParsePair(text)
	if err != nil {
		return "", "", false, "", err
	}
	if from == to || !c.has(from) || !c.has(to) {
		return "", "", false, "", fmt.Errorf("%s and %s are not two sites of this network", from, to)
	}
	return from, to, both, rest, nil
}

func (c *console) has(site string) bool {
	return slices.ContainsFunc(c.network.Sites(), func(s *wan.Site) bool { return s.Name() == site })
}

func (c *console) doStats(_ context.Context, rest string) error {
	chosen := func(string, string) bool { return true }
	if rest != "" {
		a, b, both, _, err := c.pair(rest)
		if err != nil {
			return err
		}
		chosen = func(from, to string) bool { return from == a && to == b || both && from == b && to == a }
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "DIRECTION\tPACKETS\tBYTES\tDELIVERED\tLOST\tQUEUE FULL\tTOO LARGE\tCUT\tTWICE\tLATE\tQUEUE\tLONGEST\t")
	c.each(func(from, to string) {
		if !chosen(from, to) {
			return
		}
		s := c.network.Stats(from, to)
		fmt.Fprintf(w, "%s>%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t%v\t\n", from, to, s.Packets, s.Bytes, s.Delivered, s.Lost,
			s.QueueDropped, s.TooLarge, s.Cut, s.Duplicated, s.Reordered,
			s.QueueDelay.Round(100*time.Microsecond), s.LongestWait.Round(100*time.Microsecond))
	})
	if err := w.Flush(); err != nil {
		return err
	}
	h, err := c.network.Health()
	fmt.Fprintf(c.out, "packets delivered later than due: median %v, 99%% %v, at most %v; dropped by this machine: %d; to no site: %d\n",
		h.Median, h.P99, h.Max, h.DeviceDropped+h.Exhausted, h.Unroutable)
	return err
}

func (c *console) doSet(_ context.Context, rest string) error {
	from, to, both, conditions, err := c.pair(rest)
	if err != nil {
		return err
	}
	change := func(k *wan.Conditions) error { return k.Update(conditions) }
	if err := c.network.Update(from, to, change); err != nil || !both {
		return err
	}
	return c.network.Update(to, from, change)
}

func (c *console) doPartition(_ context.Context, rest string) error {
	sites := strings.Fields(rest)
	if len(sites) == 0 {
		return errors.New("partition which sites?")
	}
	return c.network.Partition(sites...)
}

func (c *console) doHeal(context.Context, string) error {
	c.network.Heal()
	return nil
}

func (c *console) doPing(ctx context.Context, rest string) error {
	from, to, _, rest, err := c.pair(rest)
	if err != nil {
		return err
	}
	count := 3
	if rest != "" {
		if count, err = strconv.Atoi(rest); err != nil || count < 1 {
			return fmt.Errorf("%q is not a number of pings", rest)
		}
	}
	target := c.network.Site(to).Host(1)
	for range count {
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		took, err := c.network.Site(from).Ping(one, target)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintln(c.out, err)
		default:
			fmt.Fprintf(c.out, "%v: %v\n", target, took.Round(10*time.Microsecond))
		}
	}
	return nil
}

func (c *console) doRun(ctx context.Context, rest string) error {
	site, shell, _ := strings.Cut(rest, " ")
	if !c.has(site) || shell == "" {
		return errors.New("run SITE COMMAND")
	}
	k := c.network.Site(site).Command(ctx, "sh", "-c", shell)
	k.Stdout, k.Stderr = os.Stdout, os.Stderr
	return k.Run()
}

func (c *console) doCapture(_ context.Context, rest string) error {
	from, to, both, name, err := c.pair(rest)
	if err != nil {
		return err
	}
	if both || name == "" {
		return errors.New("capture SITE>SITE FILE")
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	stop, err := c.network.Capture(from, to, wan.Leaving, file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	c.captures = append(c.captures, recording{stop, file})
	return nil
}
