package post

import (
	"testing"
	"time"
)

func TestDelays(t *testing.T) {
	var d delays
	start := time.Unix(1000, 0)
	for _, tt := range []struct{ said, arrived, late int }{
		{0, 80, 0}, {100, 175, 0}, {200, 300, 25}, {300, 900, 525}, // by a clock that began then
		{6000, 11_000, 4925}, {10_990, 11_065, 0}, // after a partition
		{20_000, 20_200, 125}, {21_000, 21_200, 125}, {23_000, 23_200, 0}, {25_000, 25_200, 0}, // a longer way
		{200_000, 200_500, 0}, // after so long nobody knows
	} {
		late := d.late(uint64(tt.said), start.Add(time.Duration(tt.arrived)*time.Millisecond))
		if want := time.Duration(tt.late) * time.Millisecond; late != want {
			t.Errorf("said at %d, arrived at %d: %v late, want %v", tt.said, tt.arrived, late, want)
		}
	}
}
