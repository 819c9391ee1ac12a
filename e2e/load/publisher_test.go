package load

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"cardea/e2e/load/internal/rtc"
	"cardea/e2e/load/internal/synth"
	"cardea/relay/codec"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
)

// picky is the server's side of a publisher: it asks for every tenth packet again, and for keyframes.
type picky struct {
	transport *rtc.Transport

	mu        sync.Mutex
	video     map[uint32]int        // packets by SSRC
	marks     map[uint16]synth.Mark // of those asked for
	repaired  int                   // and how many came again, the same
	keyframes int
	rids      map[string]bool
	levels    int
	reports   map[uint32]bool
	asked     bool
}

func (p *picky) Connected(int64) {}
func (p *picky) Replayed(int64)  {}

func (p *picky) Tick(now int64) int64 { return now + int64(time.Hour) }

func (p *picky) RTCP(b []byte, _ int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		packet, rest, err := rtcp.Next(b)
		if err != nil {
			return
		}
		b = rest
		if info, ok := packet.SenderInfo(); ok && info.Packets > 0 {
			p.reports[packet.Sender] = true
		}
	}
}

func (p *picky) RTP(h *rtp.Header, payload []byte, _ int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch h.PayloadType {
	case rtc.OpusType:
		if v := h.Extension(1); len(v) == 1 {
			p.levels++
		}
		return
	case rtc.RTXType:
		var info codec.Info
		number := uint16(payload[0])<<8 | uint16(payload[1])
		if mark, ok := synth.ReadVP8(payload[2:], &info); ok && mark == p.marks[number] {
			p.repaired++
		}
		if rid := h.Extension(11); rid != nil {
			p.rids["repaired "+string(rid)] = true
		}
		return
	}
	var info codec.Info
	mark, ok := synth.ReadVP8(payload, &info)
	if !ok {
		return
	}
	if rid := h.Extension(10); rid != nil {
		p.rids[string(rid)] = true
	}
	if info.Keyframe {
		p.keyframes++
	}
	p.video[h.SSRC]++
	if p.video[h.SSRC]%10 == 0 && len(p.video) == 1 {
		p.marks[h.SequenceNumber] = mark
		b := rtcp.AppendNACK(nil, 1, h.SSRC, []uint16{h.SequenceNumber, h.SequenceNumber + 5000})
		if !p.asked {
			p.asked = true
			b = rtcp.AppendPLI(b, 1, h.SSRC)
			b = rtcp.AppendFIR(b, 1, h.SSRC, 1)
			b = rtcp.AppendPLI(b, 1, 4711) // nobody's
		}
		p.transport.SendRTCP(b)
	}
}

// TestPublisher connects a publisher to a server that asks a lot.
func TestPublisher(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	for _, simulcast := range []bool{false, true} {
		c := Default()
		c.Simulcast, c.KeyframeInterval = simulcast, 0
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		loop, err := rtc.NewLoop()
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- loop.Run(running) }()

		id, err := rtc.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		p := newPublisher(&c, newInterval(), testRun, 0)
		server := &picky{video: map[uint32]int{}, marks: map[uint16]synth.Mark{}, rids: map[string]bool{}, reports: map[uint32]bool{}}
		var errs [2]error
		p.transport, errs[0] = loop.Open(ctx, netip.MustParseAddr("127.0.0.1"), id, p)
		server.transport, errs[1] = loop.Open(ctx, netip.MustParseAddr("127.0.0.1"), id, server)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		offer, err := rtc.ParseDescription(p.transport.Offer(p.offer(), false))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := rtc.ParseDescription(server.transport.Answer(offer, false))
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range offer.Media { // a server that takes all extensions
			answer.Media[i].Extensions = m.Extensions
		}
		p.accept(answer)
		connected := make(chan error, 1)
		go func() { connected <- server.transport.Connect(ctx, offer.Remote, false) }()
		if err := errors.Join(p.transport.Connect(ctx, answer.Remote, true), <-connected); err != nil {
			t.Fatal(err)
		}
		want := 1
		if simulcast {
			want = 3
		}
		for enough := false; !enough; {
			select {
			case <-ctx.Done():
				t.Fatal("not enough came")
			case <-time.After(10 * time.Millisecond):
			}
			server.mu.Lock()
			enough = len(server.video) == want && server.keyframes > want && server.repaired >= 1 && len(server.reports) >= want+1 && server.levels > 0
			server.mu.Unlock()
		}
		p.transport.Close()
		server.transport.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if p.requests.count != 2 || p.answered == 0 || p.asked < 2*p.answered {
			t.Errorf("%+v; asked for %d, answered %d", p.requests, p.asked, p.answered)
		}
		if simulcast != (server.rids["h"] && server.rids["m"] && server.rids["l"]) || !simulcast && len(server.rids) > 0 {
			t.Errorf("rids %v", server.rids)
		}
	}
}
