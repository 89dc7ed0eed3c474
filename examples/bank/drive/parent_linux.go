package main

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the system end the command gracefully when this program ends, how
// ever it ends. The system takes the end of the thread that starts the command for that
// of the program; Go keeps its threads, but for those that a goroutine locked and left,
// and there is none here.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
