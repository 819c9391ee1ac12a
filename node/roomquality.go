package node

import (
	"time"

	"cardea/node/console"
	"cardea/relay/plane"
	"cardea/relay/quality"
)

// roomQuality returns the last minutes of participants of a room, step by step. Those of whom nothing is known are left out.
func (n *Node) roomQuality(now time.Time, room string, participants []string) map[string]console.Quality {
	all := make(map[string]console.Quality)
	for _, p := range participants {
		if lines := n.board.Room(now, room, p); p != "" && len(lines) > 0 {
			all[p] = qualityOf(now, n.cfg.Quality.Interval, lines)
		}
	}
	return all
}

// sums are what goes into one step of a participant's figures.
type sums struct {
	rtt           time.Duration
	lost, packets [2]float64 // up and down
	rate          [2]float64
}

// Directions seen from the client.
const (
	up = iota
	down
)

// qualityOf puts the figures of a participant's lines together, step by step, oldest first. Only what the node itself saw counts.
func qualityOf(now time.Time, step time.Duration, lines []quality.Line) console.Quality {
	var steps [quality.Steps]sums
	type client struct {
		handle    uint64
		direction int
		step      int
	}
	rated := make(map[client]bool)
	var watched, frozen time.Duration
	score, scores := 0.0, 0
	for i := range lines {
		l := &lines[i]
		if l.Client {
			continue
		}
		direction := up
		if l.Sending {
			direction = down
		}
		for _, p := range l.Points {
			if l.Sending {
				watched += p.Figures.Watched
				frozen += p.Figures.Frozen
			}
			if l.Kind == plane.Audio && l.Sending && p.Figures.MOS > 0 {
				score += p.Figures.MOS
				scores++
			}
			at := quality.Steps - 1 - int(now.Sub(p.At)/step)
			if at < 0 || at >= quality.Steps {
				continue
			}
			s := &steps[at]
			s.rtt = max(s.rtt, p.RTT)
			s.lost[direction] += p.Figures.Loss * float64(p.Figures.Packets)
			s.packets[direction] += float64(p.Figures.Packets)
			// A rate is that of all lines of a client.
			if k := (client{l.Handle, direction, at}); !rated[k] {
				rated[k] = true
				s.rate[direction] += float64(p.Rate)
			}
		}
	}
	q := console.Quality{StepSeconds: step.Seconds()}
	for i := range steps {
		s := &steps[i]
		q.RTTMS = append(q.RTTMS, known(float64(s.rtt)/float64(time.Millisecond), s.rtt > 0))
		q.LossUp = append(q.LossUp, known(s.lost[up]/max(s.packets[up], 1), s.packets[up] > 0))
		q.LossDown = append(q.LossDown, known(s.lost[down]/max(s.packets[down], 1), s.packets[down] > 0))
		q.RateUp = append(q.RateUp, known(s.rate[up], s.packets[up] > 0))
		q.RateDown = append(q.RateDown, known(s.rate[down], s.packets[down] > 0))
	}
	q.MOS = known(score/float64(max(scores, 1)), scores > 0)
	q.Frozen = known(frozen.Seconds()/max(watched.Seconds(), 1e-9), watched > 0)
	return q
}

// known returns a figure, nil for one that is not known.
func known(v float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return &v
}

// qualityLines returns the last minutes of all clients in a room, or of one participant's, report by report.
func (n *Node) qualityLines(room, participant string) []console.QualityLine {
	lines := n.board.Room(time.Now(), room, participant)
	all := make([]console.QualityLine, 0, len(lines))
	for i := range lines {
		l := &lines[i]
		c := console.QualityLine{
			Participant: l.Participant, Handle: l.Handle, Source: sourceServer, Role: rolePublisher,
			Mid: l.Mid, Kind: l.Kind.String(), Points: make([]console.QualityPoint, 0, len(l.Points)),
		}
		if l.Client {
			c.Source = sourceClient
		}
		if l.Sending {
			c.Role = roleSubscriber
		}
		for _, p := range l.Points {
			f := &p.Figures
			c.Codec, c.Publisher = f.Codec, f.Stream.Publisher
			c.Points = append(c.Points, console.QualityPoint{
				At: p.At, SpanMS: inMS(p.Span), RTTMS: inMS(p.RTT), FirstFrameMS: inMS(f.FirstFrame), WatchedMS: inMS(f.Watched),
				FrozenMS: inMS(f.Frozen), Stalls: f.Stalls, Frames: f.Frames, Packets: f.Packets, Loss: f.Loss,
				JitterMS: inMS(f.Jitter), MOS: f.MOS,
			})
		}
		all = append(all, c)
	}
	return all
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
