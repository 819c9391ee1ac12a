package data

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/datachannel"
	"github.com/pion/sctp"
)

func TestMessagesBothWays(t *testing.T) {
	bubble(t, Config{}, Config{}, func(t *testing.T, client, server *end) {
		long := strings.Repeat("0123456789abcdef", DefaultMaxMessage/16)
		sent := []Message{
			{Label: DefaultLabel, Text: true, Data: []byte("hello")},
			{Label: DefaultLabel, Data: []byte{0, 1, 2}},
			{Label: DefaultLabel, Text: true},
			{Label: DefaultLabel},
			{Label: DefaultLabel, Text: true, Data: []byte(long)},
		}
		var want []received
		for _, m := range sent {
			want = append(want, received{m.Label, string(m.Data), m.Text})
		}
		for _, from := range []*end{client, server} { // the second uses the channel that the first opened
			to := server
			if from == server {
				to = client
			}
			for _, m := range sent {
				if err := from.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			if diff := cmp.Diff(want, to.take()); diff != "" {
				t.Fatal(diff)
			}
		}
		opened, _ := server.openings()
		if len(opened) != 1 || opened[0].ID() != 0 || opened[0].Label() != DefaultLabel {
			t.Errorf("server saw %+v opened", opened)
		}
		if opened, _ := client.openings(); len(opened) != 0 {
			t.Errorf("client saw %+v opened", opened)
		}
		for _, e := range []*end{client, server} {
			if ready, err := e.state(); ready != 1 || err != nil {
				t.Errorf("ready %d times, %v", ready, err)
			}
		}
		s := client.Stats()
		if s.MessagesSent != 5 || s.MessagesReceived != 5 || s.Channels != 1 || s.Queued != 0 || s.Dropped+s.Refused+s.Ignored != 0 {
			t.Errorf("%+v", s)
		}
		if s.BytesSent != uint64(8+len(long)) || s.BytesReceived != s.BytesSent {
			t.Errorf("%+v", s)
		}
	})
}

func TestChannelsByLabel(t *testing.T) {
	unordered := Reliability{Unordered: true, Partial: Retransmits, Limit: 3}
	timed := Reliability{Partial: Lifetime, Limit: 500}
	bubble(t, Config{}, Config{}, func(t *testing.T, client, server *end) {
		for _, m := range []Message{
			{Label: "a", Protocol: "p", Reliability: unordered},
			{Label: "b", Reliability: timed},
			{Label: "a", Protocol: "ignored"},
		} {
			if err := client.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := server.Send(Message{Label: "c"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		type channel struct {
			ID              uint16
			Label, Protocol string
			Reliability     Reliability
		}
		seen := func(e *end) (got []channel) {
			opened, _ := e.openings()
			for _, c := range opened {
				got = append(got, channel{c.ID(), c.Label(), c.Protocol(), c.Reliability()})
			}
			slices.SortFunc(got, func(x, y channel) int { return int(x.ID) - int(y.ID) })
			return got
		}
		if diff := cmp.Diff([]channel{{2, "a", "p", unordered}, {4, "b", "", timed}}, seen(server)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]channel{{1, "c", "", Reliability{}}}, seen(client)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSentBeforeTheAssociationIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		client := newEnd(a, Config{Client: true})
		if err := client.Send(Message{Label: "early", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		server := newEnd(b, Config{})
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff([]received{{"early", "x", false}}, server.take()); diff != "" {
			t.Error(diff)
		}
		client.close()
		server.close()
	})
}

// pion's data channels are the other end here: what they open we see, what we open they see.
func TestWithPion(t *testing.T) {
	foreign(t, Config{}, func(t *testing.T, e *end, theirs *sctp.Association) {
		cfg := &datachannel.Config{
			ChannelType: datachannel.ChannelTypePartialReliableTimedUnordered, ReliabilityParameter: 700,
			Label: "chat", Protocol: "proto", LoggerFactory: silence,
		}
		chat, err := datachannel.Dial(theirs, 2, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []struct {
			data string
			text bool
		}{{"hi", true}, {"", true}, {"", false}, {"bin", false}} {
			if _, err := chat.WriteDataChannel([]byte(m.data), m.text); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		want := []received{{"chat", "hi", true}, {"chat", "", true}, {"chat", "", false}, {"chat", "bin", false}}
		if diff := cmp.Diff(want, e.take()); diff != "" {
			t.Error(diff)
		}
		opened, _ := e.openings()
		if len(opened) != 1 || opened[0].Protocol() != "proto" || opened[0].Reliability() != (Reliability{true, Lifetime, 700}) {
			t.Errorf("opened %+v", opened)
		}

		if err := e.Send(Message{Label: "ours", Text: true, Reliability: Reliability{true, Retransmits, 1}}); err != nil {
			t.Fatal(err)
		}
		ours, err := datachannel.Accept(theirs, &datachannel.Config{LoggerFactory: silence})
		if err != nil {
			t.Fatal(err)
		}
		if ours.Label != "ours" || ours.ChannelType != datachannel.ChannelTypePartialReliableRexmitUnordered || ours.ReliabilityParameter != 1 {
			t.Errorf("pion accepted %+v", ours.Config)
		}
		if n, text, err := ours.ReadDataChannel(make([]byte, 10)); n != 0 || !text || err != nil {
			t.Errorf("pion read %d, %v, %v", n, text, err)
		}
		if err := e.Send(Message{Label: "chat", Data: []byte("back")}); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		if n, text, err := chat.ReadDataChannel(b); string(b[:n]) != "back" || text || err != nil {
			t.Errorf("pion read %q, %v, %v", b[:n], text, err)
		}
	})
}

func TestPeerClosesAChannel(t *testing.T) {
	foreign(t, Config{}, func(t *testing.T, e *end, theirs *sctp.Association) {
		for round := range 3 {
			c, err := datachannel.Dial(theirs, 2, &datachannel.Config{Label: "chat", LoggerFactory: silence})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.ReadDataChannel(make([]byte, 10)); !errors.Is(err, io.EOF) {
				t.Errorf("our direction was not closed: %v", err)
			}
			time.Sleep(time.Second)
			opened, closed := e.openings()
			if len(opened) != round+1 || len(closed) != round+1 || opened[round] != closed[round] {
				t.Fatalf("round %d: opened %d, closed %d", round, len(opened), len(closed))
			}
			if n := e.Stats().Channels; n != 0 {
				t.Errorf("%d channels left", n)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name  string
		write func(s *sctp.Stream) error
		want  Stats // Refused and Ignored
	}{
		{"data before the open message", func(s *sctp.Stream) error {
			_, err := s.WriteSCTP([]byte("x"), sctp.PayloadTypeWebRTCBinary)
			return err
		}, Stats{Ignored: 1}},
		{"unknown kind of data", func(s *sctp.Stream) error {
			_, err := s.WriteSCTP([]byte("x"), 99)
			return err
		}, Stats{Ignored: 1}},
		{"malformed open message", func(s *sctp.Stream) error {
			_, err := s.WriteSCTP([]byte{messageOpen, 0, 0}, sctp.PayloadTypeWebRTCDCEP)
			return err
		}, Stats{Refused: 1}},
		{"acknowledgement of nothing", func(s *sctp.Stream) error {
			_, err := s.WriteSCTP([]byte{messageAck}, sctp.PayloadTypeWebRTCDCEP)
			return err
		}, Stats{Refused: 1}},
		{"label too long", func(s *sctp.Stream) error {
			open := openMessage(Reliability{}, strings.Repeat("x", MaxName+1), "")
			_, err := s.WriteSCTP(open, sctp.PayloadTypeWebRTCDCEP)
			return err
		}, Stats{Refused: 1}},
		{"opened twice", func(s *sctp.Stream) error {
			for range 2 {
				if _, err := s.WriteSCTP(openMessage(Reliability{}, "x", ""), sctp.PayloadTypeWebRTCDCEP); err != nil {
					return err
				}
			}
			return nil
		}, Stats{Ignored: 1}},
		{"too large", func(s *sctp.Stream) error {
			if _, err := s.WriteSCTP(openMessage(Reliability{}, "x", ""), sctp.PayloadTypeWebRTCDCEP); err != nil {
				return err
			}
			_, err := s.WriteSCTP(make([]byte, DefaultMaxMessage+1), sctp.PayloadTypeWebRTCBinary)
			return err
		}, Stats{Refused: 1}},
		{"stream identifier too high", func(*sctp.Stream) error { return nil }, Stats{Refused: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			foreign(t, Config{}, func(t *testing.T, e *end, theirs *sctp.Association) {
				id := uint16(2)
				if strings.HasPrefix(tt.name, "stream") {
					id = MaxStreams
					tt.write = func(s *sctp.Stream) error {
						_, err := s.WriteSCTP(openMessage(Reliability{}, "x", ""), sctp.PayloadTypeWebRTCDCEP)
						return err
					}
				}
				s, err := theirs.OpenStream(id, sctp.PayloadTypeWebRTCBinary)
				if err != nil {
					t.Fatal(err)
				}
				if err := tt.write(s); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				got := e.Stats()
				if got.Refused != tt.want.Refused || got.Ignored != tt.want.Ignored || len(e.take()) != 0 {
					t.Errorf("%+v", got)
				}
				// The association lives on.
				if err := e.Send(Message{Label: "y"}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if _, err := e.state(); err != nil || e.Stats().MessagesSent != 1 {
					t.Errorf("afterwards: %+v, %v", e.Stats(), err)
				}
			})
		})
	}
}

func TestTooManyChannels(t *testing.T) {
	foreign(t, Config{}, func(t *testing.T, e *end, theirs *sctp.Association) {
		open := func(id int) {
			s, err := theirs.OpenStream(uint16(id), sctp.PayloadTypeWebRTCBinary)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.WriteSCTP(openMessage(Reliability{}, fmt.Sprint(id), ""), sctp.PayloadTypeWebRTCDCEP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		for id := range MaxChannels + 10 {
			open(id)
		}
		time.Sleep(time.Second)
		if s := e.Stats(); s.Channels != MaxChannels || s.Refused != 10 {
			t.Errorf("%+v", s)
		}
		if err := e.Send(Message{Label: "one more"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s := e.Stats(); s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
		for id := MaxStreams; id < 2*MaxStreams-10; id++ {
			open(id)
		}
		if _, err := e.state(); err != nil {
			t.Errorf("ended after %d refusals: %v", MaxStreams, err)
		}
		open(2 * MaxStreams)
		time.Sleep(time.Second)
		if _, err := e.state(); !errors.Is(err, ErrStreams) {
			t.Errorf("ended with %v", err)
		}
	})
}
