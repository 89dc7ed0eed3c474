package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// childStream is the stream that a child appends to, childBatch records at a time.
const (
	childStream = "child"
	childBatch  = 3
)

// What a child says, in lines.
const (
	saidOpen   = "open"
	saidLocked = "locked"
	saidError  = "error"
	saidAcked  = "acked"
	sayAppend  = "append"
)

// childType is the type of the child's record of a version: the suite knows what was
// appended from the version alone.
func childType(v backend.Version) string { return fmt.Sprintf("c%d", v) }

// Child is what another process does over a store that the suite shares with it: see
// [Killer]. It opens the store, says what came of it, and, once it is told to, appends
// batches until it is killed or its input ends, saying which were acknowledged. It
// returns when its input ends.
func Child(ctx context.Context, open func(ctx context.Context) (Subject, error), in io.Reader, out io.Writer) error {
	s, err := open(ctx)
	switch {
	case errors.Is(err, backend.ErrLocked):
		fmt.Fprintln(out, saidLocked)
		return nil
	case err != nil:
		fmt.Fprintln(out, saidError, strings.ReplaceAll(err.Error(), "\n", " "))
		return nil
	}
	defer s.Close()
	fmt.Fprintln(out, saidOpen)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != sayAppend {
		return nil
	}
	h, err := s.Head(ctx, childStream)
	for at := h.Version; err == nil; {
		b := backend.Batch{Stream: childStream, Expected: at}
		for i := range childBatch {
			b.Records = append(b.Records, event("%s", childType(at+backend.Version(i+1))))
		}
		var res backend.Result
		if res, err = s.Append(ctx, b); err != nil {
			break
		}
		at = res.Version
		if _, err := fmt.Fprintln(out, saidAcked, at); err != nil {
			return nil // nobody listens any more
		}
	}
	fmt.Fprintln(out, saidError, err)
	return err
}

// child is a process as a rule sees it.
type child struct {
	p     *Process
	lines *bufio.Scanner
}

// spawn starts a child, which is killed when the check ends.
func (c *Case) spawn() *child {
	p, err := seam[Killer](c).Spawn(c.ctx)
	if err != nil {
		c.unavailable("no second process: %v", err)
	}
	ch := &child{p, bufio.NewScanner(p.Stdout)}
	c.cleanups = append(c.cleanups, func() { ch.kill() })
	return ch
}

// says is the next line of the child; empty at its end.
func (ch *child) says() string {
	if ch.lines.Scan() {
		return ch.lines.Text()
	}
	return ""
}

func (ch *child) kill() {
	if ch.p.Kill != nil {
		ch.p.Kill()
		ch.p.Stdin.Close()
		ch.p.Kill = nil
	}
}

// spawned starts a child that must open the store.
func (c *Case) spawned() *child {
	ch := c.spawn()
	said := ch.says()
	c.note("another process opens the store: %s", said)
	c.check(said == saidOpen, "another process that opens the store", "it says %q", said)
	return ch
}
