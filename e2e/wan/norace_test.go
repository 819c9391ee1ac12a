//go:build !race

package wan

// raceEnabled: see race_test.go.
const raceEnabled = false
