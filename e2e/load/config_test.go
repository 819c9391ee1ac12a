package load

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	valid := Default()
	valid.URL = "ws://127.0.0.1:8188"
	tests := []struct {
		name   string
		change func(c *Config)
		want   []string // in the error; none: valid
	}{
		{"default", func(*Config) {}, nil},
		{"1 x 500", func(c *Config) { c.Subscribers = 500 }, nil},
		{"20 x 5 x 5", func(c *Config) { c.Rooms, c.Publishers, c.Subscribers = 20, 5, 5 }, nil},
		{"200 x 1 x 2", func(c *Config) { c.Rooms, c.Subscribers = 200, 2 }, nil},
		{"publishers alone", func(c *Config) { c.Subscribers = 0 }, nil},
		{"keyframes on request only", func(c *Config) { c.KeyframeInterval = 0 }, nil},
		{"no url", func(c *Config) { c.URL = "" }, []string{"url"}},
		{"http", func(c *Config) { c.URL = "http://127.0.0.1:8088/janus" }, []string{"want ws://"}},
		{"too many", func(c *Config) { c.Rooms, c.Subscribers = 200, 200 }, []string{"at most 20000"}},
		{"overflow", func(c *Config) { c.Rooms, c.Subscribers = 1<<62, 1<<62 }, []string{"at most 20000"}},
		{"all wrong at once", func(c *Config) {
			*c = Config{Rooms: -1, Publishers: 65, Subscribers: -1, JoinTimeout: time.Millisecond, WarmUp: -1, KeyframeInterval: 1, PID: -1}
		}, []string{"url", "rooms", "publishers", "subscribers", "join-rate", "join-timeout", "warm-up", "duration", "bitrate", "fps", "keyframe-interval", "pid"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid
			tt.change(&c)
			err := c.Validate()
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("error %v", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q not in %q", w, err)
				}
			}
		})
	}
}
