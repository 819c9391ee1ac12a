package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"cardea/node/config"
	"cardea/signaling/events"
	"cardea/signaling/events/jsonlog"
	"cardea/signaling/events/kafka"
	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
	"cardea/signaling/events/webhook"
	"cardea/signaling/events/websocket"
	"cardea/signaling/janus"
)

const (
	// eventsService is the name of the service that delivers events. Those that take clients start when it has told of the rooms that
	// the node had.
	eventsService = "events"
	// eventsDir is the directory of what is to be delivered, below the data directory.
	eventsDir = "events"
	// sinkCount is how many events go at a time to sinks that send them as Janus does.
	sinkCount = 100
	// kafkaAttempt bounds an attempt to produce events. It is longer than a broker takes to give up its partitions.
	kafkaAttempt = 30 * time.Second
)

// eventPath is the way of events out of the node: from the bus to the spool, and from there by each sink at its own pace.
type eventPath struct {
	cfg          *config.Events
	bus          *events.Bus
	spool        *spool.Spool
	subscription *events.Subscription
	runners      []*sink.Runner
	cursors      []*spool.Cursor
	list         *roomList
	entries      []spool.Entry // owned by the bus's goroutine
}

// addEvents makes the way out of the node, if events go anywhere. It opens files, and connects to nobody.
func (n *Node) addEvents() error {
	c := &n.cfg.Events
	if !c.Configured() {
		return nil
	}
	types, err := eventTypes(c.Types)
	if err != nil {
		return err
	}
	p := &eventPath{cfg: c, bus: events.New(events.Config{Emitter: cmp.Or(c.Emitter, n.serverName()), Label: c.Label, Types: types})}
	dir := filepath.Join(n.cfg.Node.DataDir, eventsDir)
	log := n.log.With("part", "events")
	sc := spool.Config{Dir: dir, MaxDisk: int64(c.MaxDisk), MaxMemory: int64(c.MaxMemory), Log: log}
	if !c.IDs {
		sc.Bare = uint16(events.AllJanus)
	}
	if p.spool, err = spool.Open(sc); err != nil {
		log.Warn("events that are not delivered are kept in memory alone, and lost when the node stops", "error", err)
		sc.Dir = ""
		if p.spool, err = spool.Open(sc); err != nil {
			return err
		}
	}
	p.list = loadRoomList(filepath.Join(dir, roomListFile), log)
	p.list.numbers = !n.cfg.VideoRoom.StringIDs
	first := p.list.first(p.bus, p.spool, time.Now())
	n.eventHandlers = map[string]janus.EventHandler{}
	for _, s := range n.sinks {
		types, err := eventTypes(s.types)
		if err != nil {
			return err
		}
		cursor, err := p.spool.Cursor(s.name, uint16(types))
		if err != nil {
			return err
		}
		s.runner.Cursor, s.runner.First, s.runner.Log = cursor, first, log
		p.cursors = append(p.cursors, cursor)
		p.runners = append(p.runners, sink.New(s.runner))
		n.eventHandlers[s.handler] = janus.EventHandler{
			Types:       func() events.Type { return events.Type(cursor.Mask()) },
			SetTypes:    func(types events.Type) { cursor.SetMask(uint16(types)); p.subscription.SetMask(p.wanted()) },
			SetGrouping: s.group,
		}
	}
	p.subscription = p.bus.Subscribe(p.wanted(), p.take)
	n.events, n.eventPath = p.bus, p
	n.exportEvents(p)
	n.services = append(n.services, service{"room list", p.list.run}, service{eventsService, p.run})
	n.services = append(n.services, service{"rooms had", func(ctx context.Context) error {
		p.settle(ctx)
		n.lookForDestroyed(ctx)
		return nil
	}})
	return nil
}

// eventSink is a sink to be made.
type eventSink struct {
	name    string // of its cursor
	handler string // what the Admin API calls it
	types   []string
	runner  sink.Config
	group   func(on bool) // nil: not asked for
}

// eventSinks makes the sinks that are configured, and tells of each that cannot be made. The caller closes those that it does not run.
func eventSinks(cfg *config.Config) (all []eventSink, faults config.Faults) {
	c := &cfg.Events
	if k := c.Kafka; len(k.Brokers) > 0 {
		kc := kafka.Config{
			Brokers: k.Brokers, Topic: k.Topic, Acks: k.Acks, Compression: k.Compression,
			Mechanism: k.Mechanism, User: k.User, Password: string(k.Password), AllowPlaintext: k.AllowPlaintext,
		}
		if k.TLS {
			var err error
			kc.TLS, err = kafkaTLS(k)
			faults = append(faults, faultsOf("events.kafka", err)...)
		}
		s, err := kafka.New(kc)
		if faults = append(faults, faultsOf("events.kafka", err)...); err == nil {
			all = append(all, eventSink{"kafka", "cardea.eventhandler.kafka", k.Types, sink.Config{Sink: s, Count: k.Batch, Size: 4 << 20, Timeout: kafkaAttempt}, nil})
		}
	}
	if w := c.Webhook; w.URL != "" {
		s, err := webhook.New(webhook.Config{
			URL: w.URL, Allowed: prefixes(w.Allowed), Key: string(w.Secret), User: w.User, Password: string(w.Password),
			Single: !w.Grouping, Compress: w.Compress, AnyStatus: w.AnyStatus,
		})
		if faults = append(faults, faultsOf("events.webhook", err)...); err == nil {
			all = append(all, eventSink{"webhook", "janus.eventhandler.sampleevh", w.Types, sink.Config{Sink: s, Count: sinkCount, Timeout: w.Timeout}, s.SetGrouping})
		}
	}
	if w := c.WebSocket; w.URL != "" {
		s, err := websocket.New(websocket.Config{
			URL: w.URL, Allowed: prefixes(w.Allowed), Subprotocol: w.Subprotocol, User: w.User, Password: string(w.Password), Single: !w.Grouping,
		})
		if faults = append(faults, faultsOf("events.websocket", err)...); err == nil {
			all = append(all, eventSink{"websocket", "janus.eventhandler.wsevh", w.Types, sink.Config{Sink: s, Count: 10 * sinkCount}, s.SetGrouping})
		}
	}
	if l := c.Log; l.File != "" {
		s := jsonlog.New(jsonlog.Config{Path: l.File, MaxSize: int64(l.MaxSize), Keep: l.Keep})
		all = append(all, eventSink{"log", "cardea.eventhandler.jsonlog", l.Types, sink.Config{Sink: s, Count: 10 * sinkCount}, nil})
	}
	return all, faults
}

// closeSinks lets go of sinks that are not run.
func closeSinks(all []eventSink) {
	for _, s := range all {
		s.runner.Sink.Close()
	}
}

func eventTypes(names []string) (events.Type, error) {
	return events.ParseTypes(strings.Join(names, ","))
}

func kafkaTLS(k config.EventsKafka) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var faults config.Faults
	if k.CA != "" {
		pem, err := os.ReadFile(k.CA)
		c.RootCAs = x509.NewCertPool()
		if err == nil && !c.RootCAs.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s: no certificate in it", k.CA)
		}
		faults = append(faults, faultsOf("events.kafka.ca", err)...)
	}
	if k.Certificate != "" {
		pair, err := readPair("events.kafka", k.Certificate, k.Key)
		if faults = append(faults, faultsOf("", err)...); err == nil {
			c.Certificates = []tls.Certificate{*pair}
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

// wanted returns the types that some sink delivers.
func (p *eventPath) wanted() (types events.Type) {
	for _, c := range p.cursors {
		types |= events.Type(c.Mask())
	}
	return types
}

// take puts events into the spool, as they will leave.
func (p *eventPath) take(batch []events.Event) {
	p.entries = p.entries[:0]
	for i := range batch {
		e := &batch[i]
		p.entries = append(p.entries, spool.Entry{
			Kind: uint16(e.Type), Time: e.Time, Key: eventKey(e, p.bus.Emitter()), Value: e.AppendJSON(nil, p.bus.Emitter(), p.bus.Label()),
		})
	}
	p.spool.Append(p.entries...)
	clear(p.entries) // lets go of the values
}

// eventKey returns what an event is about: events of one key stay in order in Kafka.
func eventKey(e *events.Event, emitter string) string {
	switch {
	case e.Room != "":
		return e.Room
	case e.Session != 0:
		return "session/" + strconv.FormatUint(e.Session, 10)
	}
	return emitter
}

// run delivers events. When ctx ends, what was emitted goes on to be delivered for a while; the rest stays on disk.
func (p *eventPath) run(ctx context.Context) error {
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeping()
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	var kept, sent sync.WaitGroup
	var errs []error
	kept.Go(func() { _ = p.spool.Run(keeping) }) // a disk that fails is its own affair
	failed := make(chan error, len(p.runners))
	for _, r := range p.runners {
		sent.Go(func() { failed <- r.Run(sending) })
	}
	if err := p.bus.Run(ctx); err != nil && ctx.Err() == nil {
		errs = append(errs, err)
	}
	p.spool.Finish()
	hurry := time.AfterFunc(p.cfg.FlushTimeout, stopSending)
	sent.Wait()
	hurry.Stop()
	stopKeeping()
	kept.Wait()
	for range p.runners {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

// told waits until every sink has delivered the list of rooms, or the time for that is over.
func (p *eventPath) told(ctx context.Context) {
	if p.cfg.RoomListWait == 0 {
		return // nobody is late who is not waited for
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RoomListWait)
	defer cancel()
	for _, r := range p.runners {
		select {
		case <-r.First():
		case <-ctx.Done():
			p.list.log.Warn("not everybody has taken the list of rooms that the node had; it goes first when they are back", "sink", r.Name())
			return
		}
	}
}

// settle forgets the rooms of earlier processes when every sink has told of them. It returns when that is so or ctx ends.
func (p *eventPath) settle(ctx context.Context) {
	for _, r := range p.runners {
		select {
		case <-r.First():
		case <-ctx.Done():
			return
		}
	}
	p.list.forgetPrior()
}

// roomID writes a room's id as its plugin does.
func roomID(id string, numbers bool) json.RawMessage {
	if n, err := strconv.ParseUint(id, 10, 64); numbers && err == nil {
		return strconv.AppendUint(nil, n, 10)
	}
	text, _ := json.Marshal(id) // a string always can be
	return text
}
