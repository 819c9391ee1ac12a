package member

import "sync/atomic"

// counters are the live form of [Stats].
type counters struct {
	admitted, carried, renewed, refused, strange, limited, forged, rubbish atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Admitted: c.admitted.Load(), Carried: c.carried.Load(), Renewed: c.renewed.Load(), Refused: c.refused.Load(),
		Strange: c.strange.Load(), Limited: c.limited.Load(), Forged: c.forged.Load(), Rubbish: c.rubbish.Load(),
	}
}
