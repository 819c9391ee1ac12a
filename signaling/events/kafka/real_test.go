package kafka

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

// TestBroker does to a real broker what TestAway does to a network: it is killed with kill -9 and started again while events come.
// "make kafka" fetches one and sets KAFKA_JARS to the directory of its jars.
func TestBroker(t *testing.T) {
	jars := os.Getenv("KAFKA_JARS")
	if jars == "" {
		t.Skip("no broker: make kafka fetches one")
	}
	const n = 20_000
	b := newBroker(t, jars)
	b.start()
	s, err := spool.Open(spool.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := s.Cursor("kafka", 64)
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(Config{Brokers: []string{b.address}, Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	r := sink.New(sink.Config{Sink: k, Cursor: cursor, Count: 1000, Timeout: 10 * time.Second, MaxWait: time.Second})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	delivered := make(chan error, 1)
	go func() { delivered <- r.Run(t.Context()) }()
	var longest time.Duration
	append100 := func(i int) {
		start := time.Now()
		s.Append(entries(i, i+99)...)
		longest = max(longest, time.Since(start))
		time.Sleep(20 * time.Millisecond)
	}
	for i := 1; i <= n; i += 100 {
		switch i {
		case n/4 + 1, n*3/4 + 1:
			b.kill()
		case n/2 + 1:
			b.start()
		}
		append100(i)
	}
	b.start()
	s.Finish()
	if err := <-delivered; err != nil {
		t.Fatal(err)
	}
	stop()
	running.Wait()
	stats := r.Stats()
	if stats.Lag != 0 || stats.Dropped != 0 || stats.Delivered != n {
		t.Errorf("stats: %+v", stats)
	}
	all := consumed(t, n, kgo.SeedBrokers(b.address))
	inOrder(t, n, all)
	records := 0
	for _, p := range all {
		records += len(p)
	}
	t.Logf("%d events, %d records; %d attempts failed, %d events sent again; 100 events were put aside in %v at most", n, records, stats.Failures, stats.Redelivered, longest)
}

// broker is a Kafka broker, alone in its cluster.
type broker struct {
	t       *testing.T
	jars    string
	config  string
	address string
	cmd     *exec.Cmd
}

func newBroker(t *testing.T, jars string) *broker {
	t.Helper()
	dir := t.TempDir()
	b := &broker{t: t, jars: jars, config: filepath.Join(dir, "server.properties"), address: free(t)}
	controller := free(t)
	text := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
offsets.topic.replication.factor=1
num.partitions=4
`, b.address, controller, filepath.Join(dir, "log"))
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	format := b.java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", b.config)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, out)
	}
	t.Cleanup(b.kill)
	return b
}

func (b *broker) java(args ...string) *exec.Cmd {
	args = append([]string{"-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(b.jars, "*")}, args...)
	return exec.CommandContext(context.WithoutCancel(b.t.Context()), "java", args...) //nolint:gosec // what make fetched
}

// free returns an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts the broker and waits until it listens.
func (b *broker) start() {
	b.t.Helper()
	b.cmd = b.java("kafka.Kafka", b.config)
	b.cmd.Stderr = os.Stderr
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		c, err := (&net.Dialer{}).DialContext(b.t.Context(), "tcp", b.address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatal(err)
		}
	}
}

// kill kills the broker with kill -9.
func (b *broker) kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait() // killed
		b.cmd = nil
	}
}
