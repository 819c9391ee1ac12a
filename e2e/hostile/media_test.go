package hostile

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/node/config"

	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

const (
	attackTime = 5 * time.Second
	// pictureRate is how often a publisher may be asked for a picture, a second, whoever wants one.
	pictureRate = 2
	// repairs is what NACKs may cost, in packets: 200 kbit/s and 64 KiB at once, or 30 % of the stream, which is less here.
	repairs = (200_000/8*7 + 64<<10) / 500 // audio packets are smaller than 500 bytes, but few
)

// TestFeedback has a subscriber that asks for everything again, for a picture all the time, and lies about its network.
func TestFeedback(t *testing.T) {
	s := open(t, "127.0.0.52", nil)
	pictures := s.publisher.PLIs.Load()
	began := time.Now()
	estimate := 0.0
	g := s.attack(func(ctx context.Context) {
		client := s.client(ctx)
		bad, err := client.Subscribe(ctx, room, s.publisher.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer bad.Close()
		video, err := bad.Track(ctx, "video")
		if err != nil {
			t.Fatal(err)
		}
		flood(ctx, 300, attackTime, func() {
			now := video.Sequence()
			all := &rtcp.TransportLayerNack{MediaSSRC: video.SSRC, SenderSSRC: 1}
			for back := uint16(0); back < 340; back += 17 {
				all.Nacks = append(all.Nacks, rtcp.NackPair{PacketID: now - back - 17, LostPackets: 0xffff})
			}
			_ = bad.WriteRTCP(all)
			_ = bad.WriteRTCP(
				&rtcp.PictureLossIndication{MediaSSRC: video.SSRC}, &rtcp.FullIntraRequest{MediaSSRC: video.SSRC, FIR: []rtcp.FIREntry{{SSRC: video.SSRC, SequenceNumber: uint8(rand.Uint32())}}},
			)
			_ = bad.WriteRTCP(lie(video.SSRC))
		})
		m := regexp.MustCompile(`"estimate":(\d+)`).FindStringSubmatch(s.get(fmt.Sprintf("/api/v1/peers/%s/%s", client.Session(), bad.Handle.ID())))
		if m == nil {
			t.Fatal("the console does not know the subscriber")
		}
		_, _ = fmt.Sscan(m[1], &estimate)
		bad.Vanish()
		client.Cut()
	})
	lasted := time.Since(began).Seconds()
	if asked := float64(s.publisher.PLIs.Load() - pictures); asked > pictureRate*lasted+1 {
		t.Errorf("the publisher was asked for %v pictures in %.0f s", asked, lasted)
	} else {
		t.Logf("%v pictures asked of the publisher, of %v wishes", asked, g.of("cardea_media_plis_in_total"))
	}
	t.Logf("%v packets sent again, of %v wishes; the estimate is %.0f bit/s", g.of("cardea_media_retransmitted_total"), g.of("cardea_media_nacks_in_total"), estimate)
	if n := g.of("cardea_media_retransmitted_total"); n > repairs {
		t.Errorf("%v packets sent again, at most %d allowed", n, repairs)
	}
	if limit := config.Default().Media.MaxBitrate; estimate > float64(limit) {
		t.Errorf("the estimate is %v, at most %v allowed", estimate, limit)
	}
	g.atLeast(1000, "cardea_media_nacks_in_total", "cardea_media_retransmissions_refused_total", "cardea_media_plis_in_total")
}

// lie is a report of a network that cannot be.
func lie(ssrc uint32) rtcp.Packet {
	switch rand.IntN(6) {
	case 0:
		return &rtcp.ReceiverEstimatedMaximumBitrate{SSRCs: []uint32{ssrc}, Bitrate: 1e15}
	case 1:
		return &rtcp.ReceiverEstimatedMaximumBitrate{SSRCs: []uint32{ssrc}, Bitrate: 0}
	case 2:
		return &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: ssrc, FractionLost: uint8(rand.Uint32()), TotalLost: 0x7fffff, LastSenderReport: rand.Uint32(), Delay: rand.Uint32(), Jitter: math.MaxUint32}}}
	case 3:
		return &rtcp.SenderReport{SSRC: ssrc, NTPTime: rand.Uint64(), RTPTime: rand.Uint32(), PacketCount: math.MaxUint32}
	case 4:
		return &rtcp.Goodbye{Sources: []uint32{ssrc}}
	default: // everything came at once, or an hour apart
		chunks := []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{Type: rtcp.TypeTCCRunLengthChunk, PacketStatusSymbol: rtcp.TypeTCCPacketReceivedLargeDelta, RunLength: 50}}
		deltas := make([]*rtcp.RecvDelta, 50)
		for i := range deltas {
			deltas[i] = &rtcp.RecvDelta{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: int64(rand.IntN(1<<15)-1<<14) * rtcp.TypeTCCDeltaScaleFactor}
		}
		return &rtcp.TransportLayerCC{
			Header:    rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 4 + 25 + 1},
			MediaSSRC: ssrc, BaseSequenceNumber: uint16(rand.Uint32()), PacketStatusCount: 50, ReferenceTime: rand.Uint32() & 0xffffff,
			PacketChunks: chunks, RecvDeltas: deltas,
		}
	}
}

// get asks the console.
func (s *stage) get(path string) string {
	client := http.Client{Timeout: setUpTime, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.tcp(9600) + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	b, _ := io.ReadAll(response.Body)
	return string(b)
}

// TestHalfOpen has many peers that pass ICE and then do not finish DTLS: nothing, hellos without end, fragments of messages of
// many megabytes, records in the clear.
func TestHalfOpen(t *testing.T) {
	s := open(t, "127.0.0.53", func(c *config.Config) { c.Limits.RequestsPerSecond = 10_000 })
	const peers = 100
	s.attack(func(ctx context.Context) {
		client := s.client(ctx)
		defer client.Cut()
		var sockets []*net.UDPConn
		for i := range peers {
			ufrag, pwd := s.halfOpen(ctx, client, []string{"actpass", "active", "passive"}[i%3])
			conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.media))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = conn.Write(check(ufrag, pwd, nominating{}))
			_ = conn.SetReadDeadline(time.Now().Add(setUpTime))
			var b [1500]byte
			for n := 0; !stun.IsMessage(b[:n]); { // where the node is DTLS's client, its hello may come first
				if n, err = conn.Read(b[:]); err != nil {
					t.Fatalf("peer %d: a valid check is not answered: %v", i, err)
				}
			}
			sockets = append(sockets, conn)
		}
		flood(ctx, floodRate/2, attackTime, func() {
			b := hello()
			switch rand.IntN(5) {
			case 0:
				b = mutated(b)
			case 1: // part of a message of 16 MiB
				at := rand.IntN(1 << 23)
				b = record(22, append([]byte{byte(rand.IntN(21)), 0xff, 0xff, 0xff, 0, byte(rand.IntN(4)), byte(at >> 16), byte(at >> 8), byte(at), 0, 4, 0}, random(1024)...))
			case 2:
				b = record(byte(20+rand.IntN(5)), random(rand.IntN(1000)))
			case 3:
				b = random(1 + rand.IntN(1400))
				b[0] = 22
			}
			_, _ = pick(sockets).Write(b)
		})
	})
}

// halfOpen makes a publisher's offer whose certificate nobody has, and returns the node's ICE credentials for it.
func (s *stage) halfOpen(ctx context.Context, c *caller.Client, setup string) (ufrag, pwd string) {
	h := attach(ctx, s.t, c, caller.VideoRoom)
	if _, err := h.Message(ctx, caller.M{"request": "join", "ptype": "publisher", "room": room}, nil); err != nil {
		s.t.Fatal(err)
	}
	text := strings.ReplaceAll(header+opus+"a=mid:0\r\n", "a=setup:actpass", "a=setup:"+setup)
	m, err := h.Message(ctx, caller.M{"request": "configure"}, caller.M{"type": "offer", "sdp": text})
	if err != nil {
		s.t.Fatal(err)
	}
	j, _ := m["jsep"].(caller.M)
	answer, _ := j["sdp"].(string)
	value := func(name string) string {
		_, rest, _ := strings.Cut(answer, "a="+name+":")
		v, _, _ := strings.Cut(rest, "\r\n")
		return v
	}
	return value("ice-ufrag"), value("ice-pwd")
}

// TestWrongCertificate connects with a certificate that is not the one announced: that handshake fails, and nothing else.
func TestWrongCertificate(t *testing.T) {
	s := open(t, "127.0.0.54", nil)
	fingerprint := regexp.MustCompile(`a=fingerprint:sha-256 [0-9A-F:]+`)
	g := s.attack(func(ctx context.Context) {
		client := s.client(ctx)
		defer client.Cut()
		client.Lie = func(text string) string {
			return fingerprint.ReplaceAllString(text, "a=fingerprint:sha-256 "+strings.Repeat("AB:", 31)+"AB")
		}
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if p, err := client.Publish(limited, room); err == nil {
			t.Error("a certificate that was not announced is taken")
			p.Close()
		}
	})
	g.atLeast(1, "cardea_media_handshake_failures_total")
}

// TestDataChannels opens more channels than there may be and sends messages at and beyond every limit.
func TestDataChannels(t *testing.T) {
	s := open(t, "127.0.0.55", nil)
	s.attack(func(ctx context.Context) {
		client := s.client(ctx)
		defer client.Cut()
		p, err := client.Publish(ctx, room)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Vanish()
		var work sync.WaitGroup
		defer work.Wait()
		limited, cancel := context.WithTimeout(ctx, attackTime)
		defer cancel()
		for i := range 200 {
			label := fmt.Sprint("channel", i)
			if i%10 == 9 {
				label = strings.Repeat("l", 5000)
			}
			channel, err := p.PeerConnection().CreateDataChannel(label, nil)
			if err != nil {
				t.Fatal(err)
			}
			channel.OnOpen(func() {
				if limited.Err() != nil {
					return
				}
				work.Go(func() { say(limited, channel, i) })
			})
		}
		if err := p.Negotiate(ctx, nil); err != nil {
			t.Fatal(err)
		}
		<-limited.Done()
	})
}

// say sends messages of all sizes.
func say(ctx context.Context, channel *webrtc.DataChannel, i int) {
	sizes := []int{1, 1000, 16 << 10, 64<<10 - 1, 64 << 10}
	for n := 0; ctx.Err() == nil && n < 30; n++ {
		if channel.BufferedAmount() < 1<<20 {
			_ = channel.Send(make([]byte, sizes[(n+i)%len(sizes)]))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
