// Package kafka delivers events to a Kafka topic.
//
// Each event is a record: its value the event's JSON envelope, its key what the event is about (a room, else a session), so that the
// events of a room are in one partition and in order, its timestamp the event's. Headers say "id", which is the same when an
// event is delivered again, and "type", the bit of Janus's type as a decimal number.
//
// Within one connection to the brokers the producer is idempotent: repetitions that the client makes itself are not seen by
// consumers. When a broker is away for longer than an attempt takes, and when the node restarts, events come again.
package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
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
	// Linger is how long the client waits for more records before it sends some. The spool gathers already: 0 is fine.
	Linger time.Duration
	// MaxBytes bounds a request's batch for one partition; 1,000,000 by default, below a broker's own default.
	MaxBytes int

	dial func(ctx context.Context, network, host string) (net.Conn, error) // nil: the client's own
}

// Kafka produces events to a topic.
type Kafka struct {
	client *kgo.Client
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
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Kafka{client: client, done: map[uint64]bool{}}, nil
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
	return n, fmt.Errorf("kafka: %w", err)
}

// forget forgets which events have arrived of those that are confirmed now.
func (k *Kafka) forget(batch []spool.Entry) {
	for i := range batch {
		delete(k.done, batch[i].Seq)
	}
}

func record(e *spool.Entry) *kgo.Record {
	r := &kgo.Record{Value: e.Value, Timestamp: e.Time, Headers: []kgo.RecordHeader{
		{Key: "id", Value: []byte(e.ID())}, {Key: "type", Value: strconv.AppendUint(nil, uint64(e.Kind), 10)},
	}}
	if e.Key != "" {
		r.Key = []byte(e.Key)
	}
	return r
}

// Close implements [sink.Sink].
func (k *Kafka) Close() { k.client.Close() }
