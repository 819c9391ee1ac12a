package config

import "time"

// Quality is how the node reckons what users see and hear: first pictures, stalls, a score for sound.
type Quality struct {
	// Interval is the time between two reports of each client, in metrics, events and the console, which keeps 30 of them. Shorter
	// follows events more closely and makes more of them. From 1s to 5m.
	Interval time.Duration `yaml:"interval"`
	// ClientReports says whether the figures that clients report of themselves (the VideoRoom request "quality") are counted in
	// metrics, apart from the node's own. A client can say what it likes.
	ClientReports bool `yaml:"client_reports"`
}

func defaultQuality() Quality { return Quality{Interval: 10 * time.Second, ClientReports: true} }

func (c *Config) validateQuality(v *Faults) {
	v.between("quality.interval", c.Quality.Interval, time.Second, 5*time.Minute, false)
}
