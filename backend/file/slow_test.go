//go:build race

package file

// slow: the race detector makes enumerations ten times slower, and finds nothing in them.
const slow = true
