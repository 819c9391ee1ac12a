package wan

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// build makes a network for a test, which is skipped where there can be none.
func build(t testing.TB, topology Topology) *Network {
	t.Helper()
	if err := Supported(); err != nil {
		t.Skip(err)
	}
	n, err := New(t.Context(), topology)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// within returns a context for something that should not take long.
func within(t testing.TB, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// at returns the address of a port of the site's first host, of the first family or the second.
func at(s *Site, port string, six bool) string {
	host := s.Host(1)
	if six {
		host = s.hosts[len(s.hosts)/2]
	}
	return net.JoinHostPort(host.String(), port)
}

// quickestPing is the shortest of n round trips: the others may have waited for a processor, here or there. That the link itself was not
// late is for Health to say.
func quickestPing(t *testing.T, from *Site, to netip.Addr, n int) time.Duration {
	t.Helper()
	quickest := time.Hour
	for range n {
		took, err := from.Ping(within(t, 5*time.Second), to)
		if err != nil {
			t.Fatal(err)
		}
		quickest = min(quickest, took)
	}
	return quickest
}

func TestPingTakesTheRoundTrip(t *testing.T) {
	n := build(t, Regions())
	for _, c := range []struct {
		from, to string
		want     time.Duration
	}{{"eu", "us", 80 * time.Millisecond}, {"ap", "eu", 150 * time.Millisecond}, {"us", "ap", 220 * time.Millisecond}} {
		for _, to := range n.Site(c.to).Addrs()[2:4] { // the last of one family, the first of the other
			if got := quickestPing(t, n.Site(c.from), to, 5); got < c.want || got > c.want+2*time.Millisecond {
				t.Errorf("%s to %s (%v): round trip %v, want %v", c.from, c.to, to, got, c.want)
			}
		}
	}
	if local := quickestPing(t, n.Site("eu"), n.Site("eu").Host(3), 7); local > 2*time.Millisecond {
		t.Errorf("between hosts of one site: %v", local)
	}
	h, err := n.Health()
	if err != nil {
		t.Fatal(err)
	}
	if h.Median > time.Millisecond || h.DeviceDropped != 0 || h.Exhausted != 0 || h.Unroutable != 0 {
		t.Errorf("health %+v", h)
	}
	t.Logf("packets delivered late: median %v, 99%% %v, at most %v", h.Median, h.P99, h.Max)
}

func TestConditionsChangeWhileItRuns(t *testing.T) {
	n := build(t, Regions())
	eu, us := n.Site("eu"), n.Site("us")
	if err := n.Set("eu", "us", Conditions{Delay: 5 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if got := quickestPing(t, eu, us.Host(1), 5); got < 45*time.Millisecond || got > 47*time.Millisecond {
		t.Errorf("after one direction changed: %v, want 45ms", got)
	}
	if err := n.SetBoth("us", "eu", Conditions{Delay: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if got := quickestPing(t, eu, us.Host(1), 5); got < 20*time.Millisecond || got > 22*time.Millisecond {
		t.Errorf("after both changed: %v, want 20ms", got)
	}
	if got := n.Conditions("eu", "us"); got != (Conditions{Delay: 10 * time.Millisecond}) {
		t.Errorf("conditions %v", got)
	}
	// A ping that is under way when its answer's path is shortened is not shortened; the next one is.
	if err := n.Update("us", "eu", func(c *Conditions) error { return c.Update("loss=100%") }); err != nil {
		t.Fatal(err)
	}
	if _, err := eu.Ping(within(t, 200*time.Millisecond), us.Host(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping against total loss: %v", err)
	}
	if err := n.Set("eu", "us", Conditions{Loss: 2}); err == nil || n.Conditions("eu", "us").Loss != 0 {
		t.Errorf("invalid conditions: %v, now %v", err, n.Conditions("eu", "us"))
	}
	for _, pair := range [][2]string{{"eu", "eu"}, {"eu", "mars"}, {"mars", "eu"}} {
		if err := n.Set(pair[0], pair[1], Conditions{}); !errors.Is(err, ErrUnknownSite) {
			t.Errorf("set %v: %v", pair, err)
		}
	}
}

func TestPartitionAndHeal(t *testing.T) {
	topology := Regions()
	for i := range topology.Links {
		topology.Links[i].Conditions.Delay = 5 * time.Millisecond
	}
	n := build(t, topology)
	eu, us, ap := n.Site("eu"), n.Site("us"), n.Site("ap")
	l, err := ap.Listen(t.Context(), "tcp", at(ap, "7000", false))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := eu.Dial(within(t, 5*time.Second), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()

	if err := n.Partition("ap"); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]*Site{{eu, ap}, {ap, eu}, {us, ap}} {
		if _, err := pair[0].Ping(within(t, 100*time.Millisecond), pair[1].Host(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ping %s to %s across the partition: %v", pair[0].Name(), pair[1].Name(), err)
		}
	}
	if _, err := eu.Ping(within(t, 5*time.Second), us.Host(1)); err != nil {
		t.Errorf("ping on one side: %v", err)
	}
	n.Heal()
	if _, err := eu.Ping(within(t, 5*time.Second), ap.Host(1)); err != nil {
		t.Errorf("ping after healing: %v", err)
	}
	got := make([]byte, 4)
	if err := in.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "late" {
		t.Errorf("the connection got %q after healing: %v", got, err)
	}
	if s := n.Stats("eu", "ap"); s.Cut == 0 || balanced(s) != nil {
		t.Errorf("counters %+v", s)
	}
	if err := n.Partition("mars"); !errors.Is(err, ErrUnknownSite) {
		t.Errorf("partition of an unknown site: %v", err)
	}
}

func TestNothingLeavesTheNamespaces(t *testing.T) {
	n := build(t, Regions())
	eu := n.Site("eu")
	err := eu.Do(func() error {
		devices, err := net.Interfaces()
		var names []string
		for _, d := range devices {
			names = append(names, d.Name)
		}
		if diff := cmp.Diff([]string{"lo", device}, names); diff != "" {
			t.Error(diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	host, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	_, port, _ := net.SplitHostPort(host.Addr().String())
	targets := []string{"127.0.0.1", "8.8.8.8", "192.0.2.1", "[2001:4860:4860::8888]", "10.1.200.1", "10.200.0.1", "[fd00:200::1]"}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			targets = append(targets, prefix.Addr().String())
		}
	}
	for _, target := range targets {
		start := time.Now()
		c, err := eu.Dial(within(t, 3*time.Second), "tcp", target+":"+port)
		if err == nil {
			c.Close()
			t.Errorf("there is a way from the namespace to %s", target)
		} else if !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial %s: %v after %v, want a refusal at once", target, err, time.Since(start))
		}
	}
	if h, err := n.Health(); err != nil || h.Unroutable < 5 {
		t.Errorf("health %+v, %v", h, err)
	}
	if _, err := net.InterfaceByName(device); err == nil {
		t.Errorf("the host has a device %s", device)
	}
}

// The kernel must understand the link's ICMP: its path MTU discovery depends on it.
func TestTCPFindsTheMTU(t *testing.T) {
	topology := pairOf(Conditions{Delay: 5 * time.Millisecond, MTU: 1300})
	for _, six := range []bool{false, true} {
		n := build(t, topology)
		got := transfer(t, n, "a", "b", six, 500_000, 10*time.Second)
		if got != 500_000 {
			t.Errorf("IPv6 %v: %d bytes arrived", six, got)
		}
		if s := n.Stats("a", "b"); s.TooLarge == 0 || s.TooLarge > 50 {
			t.Errorf("IPv6 %v: %d packets were too large", six, s.TooLarge)
		}
	}
	topology.Links[0].Conditions.Blackhole = true
	n := build(t, topology)
	if got := transfer(t, n, "a", "b", false, 500_000, time.Second); got > 0 {
		t.Errorf("%d bytes came out of a black hole", got)
	}
}

// transfer sends size bytes by TCP and returns how many arrived in time.
func transfer(t *testing.T, n *Network, from, to string, six bool, size int, limit time.Duration) int {
	t.Helper()
	l, err := n.Site(to).Listen(t.Context(), "tcp", at(n.Site(to), "7001", six))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := n.Site(from).Dial(within(t, 5*time.Second), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = out.Write(make([]byte, size))
		out.Close()
	}()
	_ = in.SetReadDeadline(time.Now().Add(limit))
	got, _ := io.Copy(io.Discard, in)
	out.Close()
	<-sent
	return int(got)
}

func TestCaptureOfADirection(t *testing.T) {
	n := build(t, pairOf(Conditions{Delay: time.Millisecond}))
	var entering, leaving bytes.Buffer
	stopEntering, err := n.Capture("a", "b", Entering, &entering)
	if err != nil {
		t.Fatal(err)
	}
	stopLeaving, err := n.Capture("a", "b", Leaving, &leaving)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Capture("a", "b", Leaving, io.Discard); err == nil {
		t.Error("two captures of one side")
	}
	if err := n.Set("a", "b", Conditions{Loss: 1}); err != nil {
		t.Fatal(err)
	}
	_, _ = n.Site("a").Ping(within(t, 50*time.Millisecond), n.Site("b").Host(1))
	if err := n.Set("a", "b", Conditions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Site("a").Ping(within(t, 5*time.Second), n.Site("b").Host(1)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stopEntering(), stopLeaving()); err != nil {
		t.Fatal(err)
	}
	const packet = 16 + 20 + 8 + 8 // record, IP, ICMP, payload
	if entering.Len() != 24+2*packet || leaving.Len() != 24+packet {
		t.Errorf("files of %d and %d bytes, want one header of 24 and two and one packets of %d", entering.Len(), leaving.Len(), packet)
	}
	again, err := n.Capture("a", "b", Leaving, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil { // Close has ended it
		t.Error(err)
	}
}

func TestSockets(t *testing.T) {
	n := build(t, pairOf(Conditions{}))
	a, b := n.Site("a"), n.Site("b")
	for _, six := range []bool{false, true} {
		c, err := b.ListenPacket(t.Context(), "udp", at(b, "7002", six))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		out, err := a.Dial(t.Context(), "udp", c.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := out.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 10)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		got, from, err := c.ReadFrom(buffer)
		if err != nil || string(buffer[:got]) != "hello" || from.String() != out.LocalAddr().String() {
			t.Errorf("got %q from %v, %v; it was sent from %v", buffer[:got], from, err, out.LocalAddr())
		}
	}
	if _, err := a.Dial(t.Context(), "tcp", "localhost:80"); err == nil || !strings.Contains(err.Error(), "numeric") {
		t.Errorf("dial a name: %v", err)
	}
	if _, err := a.Listen(t.Context(), "tcp", "localhost:80"); err == nil || !strings.Contains(err.Error(), "numeric") {
		t.Errorf("listen on a name: %v", err)
	}
	if _, err := a.ListenPacket(t.Context(), "udp", "localhost:80"); err == nil || !strings.Contains(err.Error(), "numeric") {
		t.Errorf("listen on a name: %v", err)
	}
	if _, err := a.Listen(t.Context(), "tcp", at(b, "7003", false)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("listen on another site's address: %v", err)
	}
}

func TestCommand(t *testing.T) {
	n := build(t, pairOf(Conditions{}))
	out, err := n.Site("b").Command(t.Context(), "ip", "-4", "-o", "address", "show", "dev", device).Output()
	if err != nil || !strings.Contains(string(out), "10.2.0.1/32") {
		t.Errorf("in the namespace: %q, %v", out, err)
	}
	c := n.Site("a").Command(t.Context(), "sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("a signal did not reach the process: %v", err)
	}
}

func TestCloseEndsProcessesAndRemovesNamespaces(t *testing.T) {
	n := build(t, pairOf(Conditions{}))
	mine := func() (names []string) {
		for _, s := range n.Sites() {
			if _, err := os.Stat(filepath.Join(namespaces, s.Namespace())); err == nil {
				names = append(names, s.Namespace())
			}
		}
		return names
	}
	if got := mine(); len(got) != 2 {
		t.Fatalf("namespaces %v", got)
	}
	// One ends when asked, one does not listen, and one was started by a process that is gone.
	polite := n.Site("a").Command(t.Context(), "sleep", "1000")
	deaf := n.Site("b").Command(t.Context(), "sh", "-c", `trap "" TERM; echo ready; while :; do sleep 1000; done`)
	if err := polite.Start(); err != nil {
		t.Fatal(err)
	}
	ready, err := deaf.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := deaf.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ready, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := n.Site("b").Command(t.Context(), "sh", "-c", "sleep 1000 &").Run(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- polite.Wait() }()
	go func() { ended <- deaf.Wait() }()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if got := []string{(<-ended).Error(), (<-ended).Error()}; got[0] != "signal: terminated" || got[1] != "signal: killed" {
		t.Errorf("the processes ended by %v", got)
	}
	if got := mine(); got != nil {
		t.Errorf("namespaces %v are left", got)
	}
	if err := n.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := n.Site("a").Ping(t.Context(), n.Site("b").Host(1)); err == nil {
		t.Error("ping after Close")
	}
	if err := n.Set("a", "b", Conditions{}); err != nil {
		t.Errorf("set after Close: %v", err) // harmless
	}
	if _, err := n.Capture("a", "b", Leaving, io.Discard); err == nil {
		t.Error("capture after Close")
	}
}

// Two networks of one process do not meet, though their addresses are the same.
func TestTwoNetworks(t *testing.T) {
	one, two := build(t, pairOf(Conditions{})), build(t, pairOf(Conditions{}))
	if _, err := two.Site("a").Ping(within(t, 5*time.Second), two.Site("b").Host(1)); err != nil {
		t.Fatal(err)
	}
	if s := one.Stats("a", "b"); s.Packets != 0 {
		t.Errorf("the other network's packets came here: %+v", s)
	}
}
