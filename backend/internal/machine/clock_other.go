//go:build !linux

package machine

import "time"

// Clock is the machine's clock, in nanoseconds: the same for all processes.
func Clock() int64 { return time.Now().UnixNano() }
