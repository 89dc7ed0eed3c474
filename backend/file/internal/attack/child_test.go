//go:build linux

package attack_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// plan is what a child is to do: open the store and append until it is killed, and what
// is set here besides.
type plan struct {
	Dir      string
	Large    bool  // segments grow with the store; else they are small, for their edges
	Ignore   bool  // open without a startup check
	Hold     bool  // do nothing but keep the store open, until standard input ends
	Nothing  bool  // do not even open it
	Compact  bool  // compact at random cuts, and delete, all the time
	Recover  bool  // damage what can be derived, and recover, all the time
	Fails    bool  // the disk will fail: a poisoned store ends the appends and is no surprise
	Full     bool  // appends may find the disk full, and are tried again
	FileSize int64 // not zero: no file may be larger (RLIMIT_FSIZE)
}

// child is a process that runs a plan.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	until  atomic.Int64 // not zero: what was acknowledged later is taken as unknown
}

// start starts a child.
func start(t *testing.T, p plan) *child {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command("/proc/self/exe")}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = &c.stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	pipe, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReaderSize(pipe, 1<<20)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// ready waits until the child has the store open.
func (c *child) ready(t *testing.T) {
	t.Helper()
	if m, err := readMessage(c.out); err != nil || m.kind != isReady {
		c.kill()
		_ = c.cmd.Wait()
		t.Fatalf("the child says %c, %v: %s", m.kind, err, c.stderr.String())
	}
}

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// listen takes down all that the child says until its end, which is to be that somebody
// killed it. on, if not nil, sees each message.
func (c *child) listen(t *testing.T, l *ledger, on func(message)) {
	t.Helper()
	for {
		m, err := readMessage(c.out)
		if err != nil {
			break
		}
		if err := l.takeUntil(m, c.until.Load()); err != nil {
			t.Error(err)
		}
		if on != nil {
			on(m)
		}
	}
	_ = c.in.Close()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the child was not killed: %v: %s", err, c.stderr.String())
	}
}

// worker is the child's side.
type worker struct {
	plan plan
	b    *backend.Backend
	out  io.Writer
}

// runChild is the child's main program. It never returns.
func runChild(text string) {
	w := &worker{out: os.Stdout}
	if err := json.Unmarshal([]byte(text), &w.plan); err != nil {
		w.fail(err)
	}
	if w.plan.Nothing {
		w.say(message{kind: isReady})
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	if n := w.plan.FileSize; n > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(n), Max: 1 << 40}); err != nil {
			w.fail(err)
		}
	}
	o := smallSegments()
	if w.plan.Large {
		o.SegmentBytes = 0
	}
	if w.plan.Ignore {
		o.Startup.Mode = backend.IgnoreAnomalies
	}
	var err error
	if w.b, err = file.Open(context.Background(), w.plan.Dir, &o); err != nil {
		w.fail(err)
	}
	w.say(message{kind: isReady})
	if w.plan.Hold {
		_, _ = io.Copy(io.Discard, os.Stdin)
		if err := w.b.Close(); err != nil {
			w.fail(err)
		}
		os.Exit(0)
	}
	for i := range writers {
		go w.write(i)
	}
	go w.tail()
	go w.look()
	switch {
	case w.plan.Compact:
		w.compact()
	case w.plan.Recover:
		w.recover()
	}
	for {
		time.Sleep(time.Hour)
	}
}

func (w *worker) say(m message) {
	m.at = machine.Clock()
	if _, err := w.out.Write(m.encode()); err != nil {
		os.Exit(4)
	}
}

func (w *worker) fail(err error) {
	fmt.Fprintln(os.Stderr, "the child fails:", err)
	os.Exit(3)
}

// failed says whether an error means that there is nothing left to do; any that is not
// foreseen ends the child.
func (w *worker) failed(err error) bool {
	if err != nil && !w.plan.Fails {
		w.fail(err)
	}
	return err != nil
}

// write appends to every eighth stream.
func (w *worker) write(first int) {
	var versions [streams]uint64
	for i := first; i < streams; i += writers {
		h, err := w.b.Head(context.Background(), nameOf(i))
		if w.failed(err) {
			return
		}
		versions[i] = uint64(h.Version)
	}
	for {
		i := first + writers*rand.IntN(streams/writers)
		m := message{kind: beginsBatch, stream: uint16(i), count: uint16(1 + rand.IntN(4)), batch: rand.Uint64(), version: versions[i], seed: rand.Uint64()}
		if rand.IntN(50) == 0 {
			m.count = uint16(1 + rand.IntN(60))
		}
		w.say(m)
		res, err := w.b.Append(context.Background(), batchOf(&m))
		answer := verdict(&m, res, err)
		w.say(answer)
		switch {
		case err == nil:
			versions[i] = answer.version
		case w.plan.Full && errors.Is(err, backend.ErrNoSpace):
			time.Sleep(time.Millisecond)
		case w.failed(err):
			return
		}
		if rand.IntN(8) == 0 { // let others in, and now and then the marker think that we are idle
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Microsecond)
		}
	}
}

// tail reads what is appended: in order, each version once.
func (w *worker) tail() {
	var last backend.Position
	versions := map[string]backend.Version{}
	for {
		for r, err := range w.b.Read(context.Background(), backend.Query{From: uint64(last) + 1}) {
			if errors.Is(err, backend.ErrCompacted) {
				break
			}
			if w.failed(err) {
				return
			}
			v := versions[r.Stream]
			if r.Position <= last || r.Version <= v || r.Version != v+1 && !w.cutBelow(r.Stream, r.Version) {
				w.fail(fmt.Errorf("a tailer at position %d, %q version %d is given position %d, version %d", last, r.Stream, v, r.Position, r.Version))
			}
			last, versions[r.Stream] = r.Position, r.Version
		}
		time.Sleep(time.Millisecond)
	}
}

// cutBelow reports whether a stream was cut at a version, or above it.
func (w *worker) cutBelow(stream string, v backend.Version) bool {
	h, err := w.b.Head(context.Background(), stream)
	return err != nil && w.plan.Fails || err == nil && h.Floor >= v
}

// look reads streams from version to version: from the floor on, without a gap, up to
// what was acknowledged at least.
func (w *worker) look() {
	for {
		name := nameOf(rand.IntN(streams))
		h, err := w.b.Head(context.Background(), name)
		if w.failed(err) {
			return
		}
		next, ended := backend.Version(0), false
		for r, err := range w.b.Read(context.Background(), backend.Query{Stream: name}) {
			if ended = errors.Is(err, backend.ErrCompacted); ended {
				break
			}
			if w.failed(err) {
				return
			}
			if next == 0 {
				next = r.Version
			}
			if r.Version != next || r.Version < h.Floor {
				w.fail(fmt.Errorf("%q at %+v: version %d is given for %d", name, h, r.Version, next))
			}
			next++
		}
		if h.Version > 0 && next <= h.Version && !ended && !w.cutBelow(name, h.Version+1) {
			w.fail(fmt.Errorf("%q at %+v: it reads up to before version %d alone", name, h, next))
		}
		if rand.IntN(4) == 0 {
			_, err := w.b.Snapshot(context.Background(), name, 0)
			if !errors.Is(err, backend.ErrNotFound) && w.failed(err) {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// compact compacts at random cuts.
func (w *worker) compact() {
	for {
		if rand.IntN(3) == 0 && w.erase(rand.IntN(streams)) {
			return
		}
		var floors []message
		for i := range streams {
			if rand.IntN(3) > 0 {
				continue
			}
			if m := w.floor(i); m.version > 1 {
				floors = append(floors, m)
			}
		}
		if w.cut(floors) {
			return
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	}
}

// floor chooses a floor for a stream, and sees to it that it may be chosen.
func (w *worker) floor(i int) message {
	h, err := w.b.Head(context.Background(), nameOf(i))
	if w.failed(err) || h.Version == 0 {
		return message{}
	}
	newest := uint64(h.Version)
	if backend.KindOf(nameOf(i)) == backend.Event {
		m := message{kind: beginsState, stream: uint16(i), count: 1, batch: rand.Uint64(), version: uint64(h.Version) - rand.Uint64N(min(uint64(h.Version), 20)), seed: rand.Uint64()}
		w.say(m)
		r := recordOf(m.seed, 0)
		r.Stream, r.Version = nameOf(i), backend.Version(m.version)
		p, err := w.b.SaveSnapshot(context.Background(), r)
		w.say(verdict(&m, backend.Result{Version: r.Version, Position: p}, err))
		if w.plan.Full && errors.Is(err, backend.ErrNoSpace) || w.failed(err) {
			return message{}
		}
		newest = m.version
	}
	least, most := max(uint64(h.Floor), 1), newest+1
	if most < least {
		return message{}
	}
	return message{kind: beginsFloor, stream: uint16(i), version: most - rand.Uint64N(min(most-least, 200)+1)}
}

// erase deletes a stream, which the writer of it goes on with.
func (w *worker) erase(i int) (failed bool) {
	h, err := w.b.Head(context.Background(), nameOf(i))
	if w.failed(err) {
		return true
	}
	m := message{kind: beginsDelete, stream: uint16(i), version: uint64(h.Version) + 1}
	w.say(m)
	w.say(message{kind: beginsWork})
	_, err = w.b.Compact(context.Background(), backend.Cut{Floors: []backend.StreamFloor{{Stream: nameOf(i), Floor: backend.Version(m.version), Delete: true}}})
	w.say(message{kind: endsWork})
	switch {
	case errors.Is(err, backend.ErrConflict): // somebody appended
		m.kind = noDelete
	case w.plan.Full && errors.Is(err, backend.ErrNoSpace):
		return false
	case w.failed(err):
		return true
	default:
		m.kind = hasDelete
	}
	w.say(m)
	return false
}

func (w *worker) cut(floors []message) (failed bool) {
	slices.SortFunc(floors, func(a, b message) int { return cmp.Compare(nameOf(int(a.stream)), nameOf(int(b.stream))) })
	var cut backend.Cut
	for _, m := range floors {
		w.say(m)
		cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: nameOf(int(m.stream)), Floor: backend.Version(m.version)})
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rand.IntN(6) == 0 {
		time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, cancel)
	}
	w.say(message{kind: beginsWork})
	_, err := w.b.Compact(ctx, cut)
	w.say(message{kind: endsWork})
	if w.plan.Full && errors.Is(err, backend.ErrNoSpace) || errors.Is(err, context.Canceled) {
		return false
	}
	if w.failed(err) {
		return true
	}
	for _, m := range floors {
		m.kind = hasFloor
		w.say(m)
	}
	return false
}

// recover loses what can be derived, and has it made again.
func (w *worker) recover() {
	for n := 0; ; n++ {
		strew(w.plan.Dir, n)
		spoil(w.plan.Dir)
		mode := backend.Repair
		if w.b.Capabilities().Quarantine && rand.IntN(2) == 0 {
			mode = backend.Quarantine
		}
		w.say(message{kind: beginsWork})
		_, err := w.b.Recover(context.Background(), backend.RecoveryOptions{Mode: mode})
		w.say(message{kind: endsWork})
		if w.failed(err) {
			return
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	}
}

// strew leaves work for a recovery in a store: files that do not belong there, and no MARK.
func strew(dir string, n int) {
	_ = os.WriteFile(filepath.Join(dir, fmt.Sprintf("stray-%d-%d", os.Getpid(), n)), []byte("not a papyra file"), 0o600)
	_ = os.WriteFile(filepath.Join(dir, "99999999.seg.tmp"), []byte("half"), 0o600) // not a name that a live handle may be using
	_ = os.Remove(filepath.Join(dir, "MARK"))
}

// spoil damages what else can be derived: the manifest's copy, heads, a span's header.
func spoil(dir string) {
	if rand.IntN(3) == 0 {
		_ = os.Remove(filepath.Join(dir, "MANIFEST.copy"))
	}
	for pattern, at := range map[string]int64{"*.heads": rand.Int64N(4096), "*.span": rand.Int64N(4096)} {
		if names, _ := filepath.Glob(filepath.Join(dir, pattern)); len(names) > 0 && rand.IntN(3) == 0 {
			_ = flip(names[rand.IntN(len(names))], at)
		}
	}
}
