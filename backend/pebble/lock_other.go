//go:build !unix

package pebble

import "os"

const noFollow = 0

// flock can not: one process at a time must be seen to otherwise.
func flock(*os.File, bool) (free bool, err error) { return true, nil }
