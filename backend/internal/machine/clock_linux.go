package machine

import "golang.org/x/sys/unix"

// Clock is the machine's monotonic clock, in nanoseconds: the same for all processes.
func Clock() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}
