//go:build race

package sorted

const raceEnabled = true
