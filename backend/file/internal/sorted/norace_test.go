//go:build !race

package sorted

const raceEnabled = false
