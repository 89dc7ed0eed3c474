package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// locksFile is where Linux lists all file locks, one a line:
//
//	1: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF
//
// Reading it disturbs nobody; trying the lock would, for a moment, keep out a
// process that starts.
const locksFile = "/proc/locks"

// lockHolder is the process that has path locked for writing: 0 if none has.
// known is false where the system does not tell. A holder outside of this
// program's process namespace has the number -1.
func lockHolder(path string) (pid int, known bool) {
	f, err := os.Open(locksFile)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	number := inode(path)
	if number == 0 {
		return 0, false
	}
	for s := bufio.NewScanner(f); s.Scan(); {
		if pid, held := heldBy(s.Text(), number); held {
			return pid, true
		}
	}
	return 0, true
}

// heldBy reads one line of locksFile: whether it is a lock on the file of that
// number, and whose. The device is not compared: file systems with subvolumes
// list another than stat tells.
func heldBy(line string, number uint64) (pid int, held bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[1] == "->" { // "->" waits for a lock
		return 0, false
	}
	at := strings.LastIndexByte(fields[5], ':')
	if fields[5][at+1:] != strconv.FormatUint(number, 10) {
		return 0, false
	}
	pid, err := strconv.Atoi(fields[4])
	if err != nil || pid <= 0 {
		return -1, true
	}
	return pid, true
}
