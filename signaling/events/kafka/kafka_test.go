package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

const topic = "events"

// cluster starts brokers in this process.
func cluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(4, topic)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func producer(t *testing.T, cfg Config) *Kafka {
	t.Helper()
	cfg.Topic = topic
	k, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// consumed reads records until each of n events has come at least once, by partition.
func consumed(t *testing.T, n int, options ...kgo.Opt) map[int32][]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	all, seen := map[int32][]*kgo.Record{}, map[string]bool{}
	for len(seen) < n {
		fetched := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d events came", len(seen), n)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			all[r.Partition] = append(all[r.Partition], r)
			seen[header(r, "id")] = true
		})
	}
	return all
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// entries makes events of several rooms, numbered from a to b.
func entries(a, b int) (all []spool.Entry) {
	for i := a; i <= b; i++ {
		all = append(all, spool.Entry{
			Kind: 64, Time: time.UnixMilli(1_700_000_000_000 + int64(i)), Key: fmt.Sprintf("videoroom/%d", i%7),
			Value: []byte(strconv.Itoa(i)), Seq: uint64(i), Run: 10,
		})
	}
	return all
}

func TestProduce(t *testing.T) {
	c := cluster(t)
	for i, cfg := range []Config{
		{}, {Compression: "gzip", Acks: "leader"}, {Compression: "none", Acks: "none"}, {Compression: "lz4"}, {Compression: "snappy"},
	} {
		cfg.Brokers = c.ListenAddrs()
		if n, err := producer(t, cfg).Send(t.Context(), entries(100*i+1, 100*i+100)); n != 100 || err != nil {
			t.Fatalf("%+v: %d, %v", cfg, n, err)
		}
	}
	rooms := map[string]int32{}
	for partition, records := range consumed(t, 500, kgo.SeedBrokers(c.ListenAddrs()...)) {
		last := map[string]int{}
		for _, r := range records {
			n, err := strconv.Atoi(string(r.Value))
			if err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprintf("videoroom/%d", n%7)
			if was, ok := rooms[key]; ok && was != partition || string(r.Key) != key {
				t.Errorf("event %d of %q is in partition %d and others of its key in %d", n, r.Key, partition, was)
			}
			rooms[key] = partition
			if n <= last[key] {
				t.Errorf("event %d of %s after %d", n, key, last[key])
			}
			last[key] = n
			if d := cmp.Diff([]any{"0000000000000a-" + strconv.Itoa(n), "64", int64(1_700_000_000_000 + n)}, []any{header(r, "id"), header(r, "type"), r.Timestamp.UnixMilli()}); d != "" {
				t.Error(d)
			}
		}
	}
	if len(rooms) != 7 {
		t.Errorf("rooms: %v", rooms)
	}
}

// TestTooLarge wants an event that the broker will never take to be refused, and the others to arrive.
func TestTooLarge(t *testing.T) {
	c := cluster(t)
	k := producer(t, Config{Brokers: c.ListenAddrs(), MaxBytes: 2000, Compression: "none"})
	batch := entries(1, 3)
	batch[1].Value = make([]byte, 5000)
	n, err := k.Send(t.Context(), batch)
	if n > 1 || !errors.Is(err, sink.ErrRefused) {
		t.Errorf("sent: %d, %v", n, err)
	}
	if _, err := k.Send(t.Context(), batch[1:2]); !errors.Is(err, sink.ErrRefused) {
		t.Errorf("alone: %v", err)
	}
}

// wire is a network that can be cut.
type wire struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *wire) dial(ctx context.Context, network, host string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.New("the network is cut")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err == nil {
		w.conns = append(w.conns, c)
	}
	return c, err
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// TestAway cuts the brokers off again and again while events come. All must be there in the end, in order within a room but for
// repetitions, and putting events aside must not have waited for anything.
func TestAway(t *testing.T) {
	const n = 2500
	c := cluster(t)
	var w wire
	s, err := spool.Open(spool.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := s.Cursor("kafka", 64)
	if err != nil {
		t.Fatal(err)
	}
	r := sink.New(sink.Config{
		Sink: producer(t, Config{Brokers: c.ListenAddrs(), dial: w.dial}), Cursor: cursor, Count: 50,
		Timeout: 300 * time.Millisecond, LeastWait: time.Millisecond, MaxWait: 50 * time.Millisecond,
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	delivered := make(chan error, 1)
	go func() { delivered <- r.Run(t.Context()) }()
	for i := 1; i <= n; i += 100 {
		if i%1000 == 501 {
			w.set(true)
		}
		if i%1000 == 1 {
			w.set(false)
		}
		s.Append(entries(i, i+99)...)
		time.Sleep(5 * time.Millisecond) // lets the two run side by side
		if i%1000 > 500 {
			time.Sleep(75 * time.Millisecond) // longer together than an attempt
		}
	}
	w.set(false)
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
	inOrder(t, n, consumed(t, n, kgo.SeedBrokers(c.ListenAddrs()...)))
	t.Logf("%d failures, %d events sent again", stats.Failures, stats.Redelivered)
}

// inOrder wants events 1 to n, each after those of its key with lower numbers, at its first coming.
func inOrder(t *testing.T, n int, all map[int32][]*kgo.Record) {
	t.Helper()
	seen := map[int]bool{}
	for _, records := range all {
		next := map[string]int{}
		for _, r := range records {
			v, err := strconv.Atoi(string(r.Value))
			if err != nil {
				t.Fatal(err)
			}
			if !seen[v] && v < next[string(r.Key)] {
				t.Errorf("event %d comes first after %d", v, next[string(r.Key)])
			}
			seen[v] = true
			next[string(r.Key)] = max(next[string(r.Key)], v)
		}
	}
	for i := 1; i <= n; i++ {
		if !seen[i] {
			t.Errorf("event %d is missing", i)
		}
	}
}

// TestTLSAndSASL authenticates in all ways over TLS, and is refused with a wrong password or without trust.
func TestTLSAndSASL(t *testing.T) {
	server, client := certificates(t)
	const user, password = "cardea", "pass,word="
	c := cluster(t, kfake.TLS(server), kfake.EnableSASL(), kfake.Superuser("PLAIN", user, password),
		kfake.Superuser("SCRAM-SHA-256", user, password), kfake.Superuser("SCRAM-SHA-512", user, password))
	for i, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		cfg := Config{Brokers: c.ListenAddrs(), TLS: client, Mechanism: m, User: user, Password: password}
		if n, err := producer(t, cfg).Send(t.Context(), entries(10*i+1, 10*i+10)); n != 10 || err != nil {
			t.Errorf("%s: %d, %v", m, n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		cfg.Password = "wrong"
		if n, err := producer(t, cfg).Send(ctx, entries(1, 1)); n != 0 || err == nil {
			t.Errorf("%s with a wrong password: %d, %v", m, n, err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	stranger := Config{Brokers: c.ListenAddrs(), TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Mechanism: "PLAIN", User: user, Password: password}
	if n, err := producer(t, stranger).Send(ctx, entries(1, 1)); n != 0 || err == nil {
		t.Errorf("a broker that is not to be trusted: %d, %v", n, err)
	}
	consumed(t, 30, kgo.SeedBrokers(c.ListenAddrs()...), kgo.DialTLSConfig(client), kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
}

// TestPlaintext wants a password sent without TLS to this machine, and elsewhere only if that is allowed.
func TestPlaintext(t *testing.T) {
	const user, password = "cardea", "hush"
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", user, password))
	cfg := Config{Brokers: c.ListenAddrs(), Mechanism: "PLAIN", User: user, Password: password}
	if n, err := producer(t, cfg).Send(t.Context(), entries(1, 10)); n != 10 || err != nil {
		t.Errorf("to loopback addresses: %d, %v", n, err)
	}
	_, err := dialLoopback(t.Context(), "tcp", "192.0.2.1:9092")
	if !errors.Is(err, errPlaintext) {
		t.Errorf("elsewhere: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg.Brokers = []string{"192.0.2.1:9092"}
	if n, err := producer(t, cfg).Send(ctx, entries(1, 1)); n != 0 || err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("elsewhere: %d, %v", n, err)
	}
}

// TestReason wants to be told why brokers cannot be used, and not only that time was up.
func TestReason(t *testing.T) {
	server, _ := certificates(t)
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right"))
	secured := cluster(t, kfake.TLS(server))
	for name, tt := range map[string]struct {
		cfg  Config
		want string
	}{
		"nobody there":   {Config{Brokers: []string{"127.0.0.1:1"}}, "connection refused"},
		"not this way":   {Config{Brokers: []string{"192.0.2.1:1"}, Mechanism: "PLAIN", User: "u", Password: "hush"}, errPlaintext.Error()},
		"wrong password": {Config{Brokers: c.ListenAddrs(), Mechanism: "PLAIN", User: "u", Password: "hush"}, "EOF"}, // as these brokers have it
		"no trust":       {Config{Brokers: secured.ListenAddrs(), TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // it takes all of it
			defer cancel()
			if n, err := producer(t, tt.cfg).Send(ctx, entries(1, 1)); n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}

// certificates returns the TLS configurations of a server and of a client that trusts it.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, cfg := range []Config{{Compression: "rar"}, {Acks: "some"}, {Mechanism: "GSSAPI"}} {
		cfg.Brokers, cfg.Topic = []string{"127.0.0.1:1"}, topic
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
