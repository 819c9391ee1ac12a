// Package kafka delivers events to a Kafka topic.
//
// Each event is a record: its value the event's JSON envelope, its key what the event is about (a room, else a session), so that the
// events of a room are in one partition and in order, its timestamp the event's. Headers say "id", the event's as in its
// JSON, and "type", the bit of Janus's type as a decimal number.
//
// Within one connection to the brokers the producer is idempotent: repetitions that the client makes itself are not seen by
// consumers. When a broker is away for longer than an attempt takes, and when the node restarts, events come again: consumers that mind
// drop those whose id they have seen.
//
// A password of the mechanism PLAIN, which is sent as it is, goes over TLS, to loopback addresses, or where the configuration says
// that it may be read.
package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

// Config configures a [Kafka].
type Config struct {
	// Brokers are some of the cluster's, HOST:PORT.
	Brokers []string
	// Topic is where records go. Brokers that make topics on demand make it.
	Topic string
	// ClientID is what the brokers know this node by.
	ClientID string
	// Acks says who must have a record: "all" replicas in sync (the default), the "leader", or "none".
	Acks string
	// Compression is zstd (the default), lz4, snappy, gzip or none.
	Compression string
	// TLS is for connections; nil connects without.
	TLS *tls.Config
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, with User and Password; "" does not authenticate.
	Mechanism, User, Password string
	// AllowPlaintext sends a password of PLAIN also without TLS, and not to loopback addresses alone.
	AllowPlaintext bool
	// Linger is how long the client waits for more records before it sends some. The spool gathers already: 0 is fine.
	Linger time.Duration
	// MaxBytes bounds a request's batch for one partition; 1,000,000 by default, below a broker's own default.
	MaxBytes int

	dial func(ctx context.Context, network, host string) (net.Conn, error) // nil: the client's own
}

// Kafka produces events to a topic.
type Kafka struct {
	client *kgo.Client
	faults faults
	done   map[uint64]bool // events of a batch that was delivered in part, which have arrived
}

var _ sink.Sink = (*Kafka)(nil)

var compressions = map[string]kgo.CompressionCodec{
	"": kgo.ZstdCompression(), "zstd": kgo.ZstdCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(),
	"gzip": kgo.GzipCompression(), "none": kgo.NoCompression(),
}

var acknowledgements = map[string]kgo.Acks{
	"": kgo.AllISRAcks(), "all": kgo.AllISRAcks(), "leader": kgo.LeaderAck(), "none": kgo.NoAck(),
}

// maxMessage is the most that a batch may take, bytes.
const maxMessage = 1_000_000

// metadataAge is how soon after a failure brokers are asked again who leads a partition.
const metadataAge = 500 * time.Millisecond

// New makes a client. It does not connect yet.
func New(cfg Config) (*Kafka, error) {
	codec, known := compressions[cfg.Compression]
	if !known {
		return nil, fmt.Errorf("kafka: no compression %q", cfg.Compression)
	}
	acks, known := acknowledgements[cfg.Acks]
	if !known {
		return nil, fmt.Errorf("kafka: no acks %q", cfg.Acks)
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...), kgo.DefaultProduceTopic(cfg.Topic), kgo.AllowAutoTopicCreation(), kgo.ClientID(cmp.Or(cfg.ClientID, "cardea")),
		kgo.RequiredAcks(acks), kgo.ProducerBatchCompression(codec, kgo.NoCompression()), kgo.ProducerLinger(cfg.Linger),
		kgo.ProducerBatchMaxBytes(int32(cmp.Or(cfg.MaxBytes, maxMessage))), //nolint:gosec // validated
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.MetadataMinAge(metadataAge),
	}
	if acks == kgo.AllISRAcks() {
		// The spool keeps what did not arrive: rather twice than stuck with a broker that is away.
		options = append(options, kgo.AllowIdempotentProduceCancellation())
	} else {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if cfg.TLS != nil {
		options = append(options, kgo.DialTLSConfig(cfg.TLS))
	}
	if cfg.dial == nil && cfg.Mechanism == "PLAIN" && cfg.TLS == nil && !cfg.AllowPlaintext {
		cfg.dial = dialLoopback
	}
	if cfg.dial != nil {
		options = append(options, kgo.Dialer(cfg.dial))
	}
	if cfg.Mechanism != "" {
		m, err := mechanism(cfg)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(m))
	}
	k := &Kafka{done: map[uint64]bool{}}
	var err error
	if k.client, err = kgo.NewClient(append(options, kgo.WithLogger(&k.faults))...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return k, nil
}

// faults keeps what the client last logged that went wrong: of an attempt that failed it returns no more than that time was up.
type faults struct {
	mu   sync.Mutex
	last error
}

var _ kgo.Logger = (*faults)(nil)

// Level implements [kgo.Logger]. Handshakes and authentications that fail count as no more than this.
func (f *faults) Level() kgo.LogLevel { return kgo.LogLevelDebug }

// Log implements [kgo.Logger].
func (f *faults) Log(_ kgo.LogLevel, _ string, pairs ...any) {
	for i := 1; i < len(pairs); i += 2 {
		if err, is := pairs[i].(error); is && pairs[i-1] == "err" && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			f.mu.Lock()
			f.last = err
			f.mu.Unlock()
		}
	}
}

// take returns what was kept, and keeps it no more.
func (f *faults) take() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.last
	f.last = nil
	return err
}

// dialTimeout bounds a connection's making.
const dialTimeout = 10 * time.Second

// errPlaintext says that a broker is elsewhere, and would be told the password for all to read.
var errPlaintext = errors.New("a password is not sent without TLS but to a loopback address")

// dialLoopback connects to brokers of this machine, wherever the configuration's, and those that they tell of, claim to be.
func dialLoopback(ctx context.Context, network, host string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		if ap, err := netip.ParseAddrPort(address); err != nil || !ap.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("%w: %s", errPlaintext, address)
		}
		return nil
	}}
	return d.DialContext(ctx, network, host)
}

func mechanism(cfg Config) (sasl.Mechanism, error) {
	switch cfg.Mechanism {
	case "PLAIN":
		return plain.Auth{User: cfg.User, Pass: cfg.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: cfg.User, Pass: cfg.Password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: cfg.User, Pass: cfg.Password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("kafka: no mechanism %q", cfg.Mechanism)
}

// Send implements [sink.Sink].
func (k *Kafka) Send(ctx context.Context, batch []spool.Entry) (int, error) {
	var records []*kgo.Record
	var of []int // the event of each record
	for i := range batch {
		if !k.done[batch[i].Seq] {
			records, of = append(records, record(&batch[i])), append(of, i)
		}
	}
	_ = k.faults.take() // of an earlier attempt
	results := k.client.ProduceSync(ctx, records...)
	failed := make(map[*kgo.Record]error, len(results))
	for _, r := range results {
		if r.Err != nil {
			failed[r.Record] = r.Err
		}
	}
	if len(failed) == 0 {
		k.forget(batch)
		return len(batch), nil
	}
	// Other partitions may have taken theirs: they are not given them again.
	first := -1
	for j, r := range records {
		if failed[r] == nil {
			k.done[batch[of[j]].Seq] = true
		} else if first < 0 {
			first = j
		}
	}
	n := of[first]
	k.forget(batch[:n])
	err := failed[records[first]]
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord) {
		err = fmt.Errorf("%w: %w", sink.ErrRefused, err)
	}
	if fault := k.faults.take(); fault != nil && errors.Is(err, context.DeadlineExceeded) {
		return n, fmt.Errorf("kafka: %w: %w", err, fault)
	}
	return n, fmt.Errorf("kafka: %w", err)
}

// forget forgets which events have arrived of those that are confirmed now.
func (k *Kafka) forget(batch []spool.Entry) {
	for i := range batch {
		delete(k.done, batch[i].Seq)
	}
}

func record(e *spool.Entry) *kgo.Record {
	r := &kgo.Record{Value: e.AppendJSON(nil), Timestamp: e.Time, Headers: []kgo.RecordHeader{
		{Key: "id", Value: []byte(e.ID())}, {Key: "type", Value: strconv.AppendUint(nil, uint64(e.Kind), 10)},
	}}
	if e.Key != "" {
		r.Key = []byte(e.Key)
	}
	return r
}

// Close implements [sink.Sink].
func (k *Kafka) Close() { k.client.Close() }
