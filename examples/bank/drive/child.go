package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// startTimeout is how long the bank may take until it prints its address, and
// stopTimeout how long it may take to end after SIGTERM.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// child is one process of the bank.
type child struct {
	cmd     *exec.Cmd
	url     string // http://host:port
	started time.Time
	ended   chan struct{}
	result  error // of the process; set before ended is closed
}

// build compiles the bank.
func build(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/papyra-go/papyra/examples/bank")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the bank: %w: %s", err, out)
	}
	return nil
}

// start runs the program on an address, and waits for its first line.
func start(ctx context.Context, program, store, addr string, log *os.File) (*child, error) {
	c := &child{cmd: exec.Command(program, "-store", store, "-addr", addr), ended: make(chan struct{})}
	c.cmd.Stderr = log
	endWithParent(c.cmd)
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.started = time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the bank: %w", err)
	}
	first := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		if lines.Scan() {
			first <- lines.Text()
		}
		for lines.Scan() {
		}
		c.result = c.cmd.Wait()
		close(c.ended)
	}()
	if err := c.await(ctx, first); err != nil {
		c.kill()
		return nil, fmt.Errorf("starting the bank: %w", err)
	}
	return c, nil
}

// await reads the address off the first line.
func (c *child) await(ctx context.Context, first <-chan string) error {
	t := time.NewTimer(startTimeout)
	defer t.Stop()
	select {
	case line := <-first:
		host, _, err := net.SplitHostPort(strings.TrimSpace(line))
		if err != nil || !net.ParseIP(host).IsLoopback() {
			return fmt.Errorf("its first line is %.80q: want an address on loopback", line)
		}
		c.url = "http://" + strings.TrimSpace(line)
		return nil
	case <-c.ended:
		return fmt.Errorf("it ended at once: %v", c.result)
	case <-t.C:
		return fmt.Errorf("no first line in %v", startTimeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill ends the process with SIGKILL, and waits until it is gone.
func (c *child) kill() {
	c.cmd.Process.Kill() // an error means that it is gone already
	<-c.ended
}

// stop ends the process with SIGTERM. An exit code but 0 is an error.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.ended:
	case <-time.After(stopTimeout):
		c.kill()
		return fmt.Errorf("the bank did not end in %v after SIGTERM", stopTimeout)
	}
	if c.result != nil {
		return fmt.Errorf("the bank, after SIGTERM: %w", c.result)
	}
	return nil
}
