package wan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Conditions say what one direction between two sites is like. The zero value is a perfect wire: no delay, no loss, no limit.
type Conditions struct {
	Delay  time.Duration // one way, 0 to MaxDelay
	Jitter time.Duration // the delay wanders between Delay-Jitter and Delay+Jitter without changing the order; 0 to Delay

	Loss  float64 // share of packets that vanish, 0 to 1
	Burst float64 // mean number of packets lost in a row (Gilbert-Elliott), at least 1; 0: each loss is independent

	Reorder   float64       // share of packets that arrive ReorderBy late, so that others overtake them, 0 to 1
	ReorderBy time.Duration // how late these are, 0 to MaxDelay; 0 means DefaultReorderBy
	Duplicate float64       // share of packets that arrive twice, 0 to 1

	Rate       int64         // of the bottleneck, bits of IP packets per second; 0: no bottleneck
	QueueTime  time.Duration // length of the bottleneck's drop-tail queue, as the time it takes to drain; 0: see QueueBytes
	QueueBytes int           // the same in bytes; 0: see QueueTime. With both the smaller counts, with neither DefaultQueueTime

	MTU       int  // largest IP packet, bytes, at least MinMTU; 0: that of the devices. Larger ones are dropped, and ICMP says so
	Blackhole bool // no ICMP tells the sender of a packet that is too large (RFC 2923)

	Down bool // nothing passes, and what is under way is lost
}

// Limits and defaults of Conditions.
const (
	MaxDelay         = time.Minute
	DefaultReorderBy = 5 * time.Millisecond   // three or four packets at 8 Mbit/s
	DefaultQueueTime = 100 * time.Millisecond // what an access router without queue management may well have
	MinMTU           = 68                     // RFC 791. IPv6 needs 1,280 (RFC 8200)
)

// Validate reports everything that is wrong with c.
func (c Conditions) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	share := func(name string, v float64) {
		check(v >= 0 && v <= 1, "%s is %v, not a share from 0 to 1", name, v)
	}
	period := func(name string, v time.Duration) {
		check(v >= 0 && v <= MaxDelay, "%s is %v, not from 0 to %v", name, v, MaxDelay)
	}
	period("delay", c.Delay)
	period("jitter", c.Jitter)
	check(c.Jitter <= c.Delay, "jitter %v is more than the delay of %v", c.Jitter, c.Delay)
	share("loss", c.Loss)
	check(c.Burst == 0 || c.Burst >= 1 && c.Burst <= math.MaxInt32, "a mean burst of %v packets is not possible: 0, or at least 1", c.Burst)
	if c.Burst >= 1 && c.Loss < 1 {
		// Between two bursts there is at least one packet that arrives.
		check(c.Loss <= c.Burst/(c.Burst+1), "loss of %v in bursts of %v leaves less than one packet between two bursts", c.Loss, c.Burst)
	}
	share("reorder", c.Reorder)
	period("reorder delay", c.ReorderBy)
	share("duplicate", c.Duplicate)
	check(c.Rate >= 0, "rate is negative")
	check(c.Rate == 0 || c.Rate >= 1000, "a rate of %d bit/s is too low to mean anything", c.Rate)
	period("queue", c.QueueTime)
	check(c.QueueBytes >= 0, "queue bytes are negative")
	check(c.MTU == 0 || c.MTU >= MinMTU, "an MTU of %d is less than %d", c.MTU, MinMTU)
	return errors.Join(errs...)
}

// Update changes the conditions that text names and leaves the others: fields "name=value", separated by spaces, such as
// "delay=110ms loss=1% burst=5". The names are those of String, and rtt, which sets the delay to half. On an error c is as
// it was.
func (c *Conditions) Update(text string) error {
	changed := *c
	for field := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return fmt.Errorf("%q is not name=value", field)
		}
		if err := changed.set(name, value); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	if err := changed.Validate(); err != nil {
		return err
	}
	*c = changed
	return nil
}

// set changes one condition, unchecked.
func (c *Conditions) set(name, value string) (err error) {
	switch name {
	case "delay":
		c.Delay, err = parseDuration(value)
	case "rtt":
		c.Delay, err = parseDuration(value)
		c.Delay /= 2
	case "jitter":
		c.Jitter, err = parseDuration(value)
	case "loss":
		c.Loss, err = parseShare(value)
	case "burst":
		c.Burst, err = strconv.ParseFloat(value, 64)
	case "reorder":
		c.Reorder, err = parseShare(value)
	case "reorder-by":
		c.ReorderBy, err = parseDuration(value)
	case "duplicate":
		c.Duplicate, err = parseShare(value)
	case "rate":
		c.Rate, err = parseRate(value)
	case "queue":
		c.QueueTime, err = parseDuration(value)
	case "queue-bytes":
		c.QueueBytes, err = strconv.Atoi(value)
	case "mtu":
		c.MTU, err = strconv.Atoi(value)
	case "blackhole":
		c.Blackhole, err = parseSwitch(value)
	case "down":
		c.Down, err = parseSwitch(value)
	default:
		return errors.New("unknown; there are delay, rtt, jitter, loss, burst, reorder, reorder-by, duplicate, " +
			"rate, queue, queue-bytes, mtu, blackhole, down")
	}
	return err
}

// String gives the conditions that are not zero in the form that Update reads, or "perfect".
func (c Conditions) String() string {
	var fields []string
	add := func(set bool, name, value string) {
		if set {
			fields = append(fields, name+"="+value)
		}
	}
	add(c.Delay != 0, "delay", c.Delay.String())
	add(c.Jitter != 0, "jitter", c.Jitter.String())
	add(c.Loss != 0, "loss", formatShare(c.Loss))
	add(c.Burst != 0, "burst", formatFloat(c.Burst))
	add(c.Reorder != 0, "reorder", formatShare(c.Reorder))
	add(c.ReorderBy != 0, "reorder-by", c.ReorderBy.String())
	add(c.Duplicate != 0, "duplicate", formatShare(c.Duplicate))
	add(c.Rate != 0, "rate", formatRate(c.Rate))
	add(c.QueueTime != 0, "queue", c.QueueTime.String())
	add(c.QueueBytes != 0, "queue-bytes", strconv.Itoa(c.QueueBytes))
	add(c.MTU != 0, "mtu", strconv.Itoa(c.MTU))
	add(c.Blackhole, "blackhole", "on")
	add(c.Down, "down", "on")
	if len(fields) == 0 {
		return "perfect"
	}
	return strings.Join(fields, " ")
}

// queueLimit is the length of the bottleneck's queue in bytes. It has room for at least one packet of the largest size.
func (c Conditions) queueLimit(largest int) int {
	limit := c.QueueBytes
	if c.QueueTime > 0 || c.QueueBytes == 0 {
		period := c.QueueTime
		if period == 0 {
			period = DefaultQueueTime
		}
		bytes := min(period.Seconds()*float64(c.Rate)/8, math.MaxInt32)
		if limit == 0 || int(bytes) < limit {
			limit = int(bytes)
		}
	}
	return max(limit, largest)
}

func (c Conditions) reorderBy() time.Duration {
	if c.ReorderBy == 0 {
		return DefaultReorderBy
	}
	return c.ReorderBy
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New(`not a duration such as "110ms"`)
	}
	return d, nil
}

// parseShare reads "1%" or "0.01".
func parseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, errors.New(`not a share such as "1%" or "0.01"`)
	}
	if percent {
		v /= 100
	}
	return v, nil
}

// parseRate reads "25mbit", "25Mbit/s", "500kbit", "1gbit" or plain bits per second.
func parseRate(s string) (int64, error) {
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s), "/s"), "bit")
	factor := 1.0
	if number != "" {
		switch number[len(number)-1] {
		case 'k':
			factor = 1e3
		case 'm':
			factor = 1e6
		case 'g':
			factor = 1e9
		}
		if factor > 1 {
			number = number[:len(number)-1]
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if v *= factor; err != nil || v < 0 || v > 1e15 || math.IsNaN(v) {
		return 0, errors.New(`not a rate such as "25mbit"`)
	}
	return int64(math.Round(v)), nil
}

func parseSwitch(s string) (bool, error) {
	switch s {
	case "on", "yes", "true":
		return true, nil
	case "off", "no", "false":
		return false, nil
	}
	return false, errors.New("neither on nor off")
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// formatShare prefers percent, where that reads back as the same number.
func formatShare(v float64) string {
	if percent := strconv.FormatFloat(v*100, 'g', 6, 64) + "%"; !strings.Contains(percent, "e") {
		if back, err := parseShare(percent); err == nil && back == v {
			return percent
		}
	}
	return formatFloat(v)
}

func formatRate(v int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "gbit"}, {1e6, "mbit"}, {1e3, "kbit"}} {
		if v%unit.size == 0 {
			return strconv.FormatInt(v/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(v, 10)
}
