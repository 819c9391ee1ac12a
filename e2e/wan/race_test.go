//go:build race

package wan

// raceEnabled: the race detector makes the link several times slower.
const raceEnabled = true
