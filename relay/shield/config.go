package shield

// Config says how links behave. Rates are in bit/s of UDP payload.
type Config struct {
	// InitialRate is what a link may send before anything is known about its path, 0 means 4 Mbit/s.
	InitialRate int
	// LeastRate is what a link may always send, 0 means 300 kbit/s.
	LeastRate int
	// MostRate bounds what a link may send, 0 means 1 Gbit/s.
	MostRate int
}

func (c Config) withDefaults() Config {
	for _, d := range [...]struct {
		field *int
		value int
	}{{&c.InitialRate, 4e6}, {&c.LeastRate, 300e3}, {&c.MostRate, 1e9}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}
