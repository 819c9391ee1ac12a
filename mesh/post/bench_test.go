package post

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cardea/relay/data"
	"cardea/relay/link"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// BenchmarkMessage takes a message from a publisher on one node to a listener on another: both nodes' work, with nothing
// between them. At most 1,000 messages are on the way.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{50, 1000, MaxMessage} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ids := [2]link.NodeID{nodeID("a"), nodeID("b")}
			var posts [2]*Post
			var channels [2]*stream.Directory[*peer.Channel]
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan struct{}, 4)
			links := [2]chan []byte{make(chan []byte, 4096), make(chan []byte, 4096)}
			for i := range posts {
				channels[i] = stream.NewDirectory[*peer.Channel]()
				p, err := New(Config{
					Self: ids[i], Channels: channels[i], RoomRate: 1e9, RoomBytes: 1 << 28, TotalBytes: 1 << 30, SourceRate: 1e9,
					Send:   func(_ link.NodeID, d []byte) error { links[1-i] <- slices.Clone(d); return nil },
					Next:   func(to, _ link.NodeID) (link.NodeID, bool) { return to, true },
					Member: func(link.NodeID) bool { return true },
					Home:   func(plane.StreamID) (link.NodeID, bool) { return ids[0], true },
				})
				if err != nil {
					b.Fatal(err)
				}
				posts[i] = p
			}
			for i, p := range posts {
				go func() { _ = p.Run(ctx); ended <- struct{}{} }()
				go func() {
					for d := range links[i] {
						p.Received(ids[1-i], d)
					}
					ended <- struct{}{}
				}()
			}
			c := new(peer.Channel)
			channels[0].Publish(chat, c)
			var heard atomic.Int64
			some := make(chan struct{}, 1)
			w := &counting{heard: &heard, some: some}
			channels[1].Watch(chat, w)
			for posts[0].Stats().Subscribers == 0 {
				time.Sleep(time.Millisecond)
			}
			m := data.Message{Label: "chat", Data: make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range int64(b.N) {
				c.Say(m)
				for i-heard.Load() > 1000 {
					<-some
				}
			}
			for heard.Load() < int64(b.N) {
				<-some
			}
			b.StopTimer()
			cancel()
			<-ended
			<-ended
			close(links[0])
			close(links[1])
			<-ended
			<-ended
		})
	}
}

// counting counts what it hears.
type counting struct {
	heard *atomic.Int64
	some  chan struct{}
}

func (w *counting) Appeared(c *peer.Channel) {
	c.Listen(func(data.Message) {
		w.heard.Add(1)
		select {
		case w.some <- struct{}{}:
		default:
		}
	})
}

func (w *counting) Vanished(*peer.Channel) {}
