package conformance

import (
	"context"
	"io"
	"math/rand/v2"
	"os/exec"
	"sync"
)

// A seam is what a harness offers beyond opening a store, so that the suite can do to
// the store what machines do: an interface that its [Store] may implement, found by type
// assertion. Where it is missing, the rules that need it are unavailable, and the report
// says so. docs/conformance.md lists which rules each seam brings.
type Seam string

// The seams, named after their interfaces.
const (
	SeamDigester  Seam = "Digester"
	SeamCorrupter Seam = "Corrupter"
	SeamFaulter   Seam = "Faulter"
	SeamStaller   Seam = "Staller"
	SeamCrasher   Seam = "Crasher"
	SeamKiller    Seam = "Killer"
	SeamFixturer  Seam = "Fixturer"
	SeamOccupier  Seam = "Occupier"
)

// Seams returns all seams, in the order of the docs.
func Seams() []Seam {
	return []Seam{SeamDigester, SeamCorrupter, SeamFaulter, SeamStaller, SeamCrasher, SeamKiller, SeamFixturer, SeamOccupier}
}

// has reports whether a store implements a seam.
func has(s Store, seam Seam) (ok bool) {
	switch seam {
	case SeamDigester:
		_, ok = s.(Digester)
	case SeamCorrupter:
		_, ok = s.(Corrupter)
	case SeamFaulter:
		_, ok = s.(Faulter)
	case SeamStaller:
		_, ok = s.(Staller)
	case SeamCrasher:
		_, ok = s.(Crasher)
	case SeamKiller:
		_, ok = s.(Killer)
	case SeamFixturer:
		_, ok = s.(Fixturer)
	case SeamOccupier:
		_, ok = s.(Occupier)
	}
	return ok
}

// Digester is a Store whose stored bytes can be compared.
//
// [Dir] has it: a hash over the names and bytes of all files.
type Digester interface {
	// Digest identifies all that is stored, bookkeeping too. It is called while nobody
	// may write: the store is closed, or open read-only.
	Digest(ctx context.Context) ([32]byte, error)
}

// Corrupter is a Store whose stored bytes can rot.
//
// [Dir] has it: byte i is one of the files' bytes, counted through all files by name.
// Over a database, let the bytes be those of the column that holds the records.
type Corrupter interface {
	// Bytes is how many stored bytes there are that Flip can reach. The store is closed.
	Bytes(ctx context.Context) (int64, error)
	// Flip changes the bits of mask in byte i, durably and without the engine's
	// knowledge. The store is closed. A second Flip takes the first back.
	Flip(ctx context.Context, i int64, mask byte) error
}

// Charter is a [Corrupter] that tells its bytes apart, so that small structures rot as often
// as large ones. It is no seam of its own: without it bytes are drawn alike.
//
// [Dir] has it: each file is a region, and what stands between runs of zeros in it is.
type Charter interface {
	// Chart returns where each region ends, ascending; the last is Bytes. The store is
	// closed.
	Chart(ctx context.Context) (ends []int64, err error)
}

// Operation is what a store asks of its medium.
type Operation string

// The operations that can fail.
const (
	OpRead  Operation = "read"
	OpWrite Operation = "write" // of data, names and sizes
	OpSync  Operation = "sync"
)

// Fault says which calls to the medium fail, and how.
type Fault struct {
	Op    Operation
	Skip  int // calls of the kind that still go well
	Times int // calls that fail then; 0: all
	// Err is what the medium answers: syscall.ENOSPC or syscall.EIO. ENOSPC for all calls
	// is a full disk: writes that need no new space may go well.
	Err error
	// Short makes a failing write store the first half of its bytes.
	Short bool
}

// Faulter is a Store whose medium can fail. What an engine notes in the background,
// and no call waits for, is better spared: a fault that it meets tells nothing.
//
// A file system in memory below the engine has it, or a proxy before a server. An engine
// on bbolt or pebble finds the place in its options (OpenFile, vfs.FS).
type Faulter interface {
	// Fail puts a fault in force, besides those that are. hits says how many calls have
	// failed by it so far; heal ends it. The error wraps [errors.ErrUnsupported] if the
	// medium knows no such operation.
	Fail(f Fault) (hits func() int, heal func(), err error)
}

// Staller is a Store whose medium can hang.
type Staller interface {
	// Stall makes the next write or sync to the medium, and all after it, wait until
	// release is called. reached is closed when the first waits.
	Stall() (reached <-chan struct{}, release func())
}

// Hang is a [Staller] to embed in a Store: writes and syncs to the medium call Pass first.
type Hang struct {
	mu   sync.Mutex
	hung *hung // nil: nothing hangs
}

type hung struct {
	once          sync.Once
	reached, free chan struct{}
}

// Stall implements [Staller].
func (h *Hang) Stall() (reached <-chan struct{}, release func()) {
	now := &hung{reached: make(chan struct{}), free: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hung = now
	return now.reached, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.hung = nil
		close(now.free)
	}
}

// Pass waits while the medium hangs.
func (h *Hang) Pass() {
	h.mu.Lock()
	now := h.hung
	h.mu.Unlock()
	if now != nil {
		now.once.Do(func() { close(now.reached) })
		<-now.free
	}
}

// Crasher is a Store whose power can be cut.
//
// A file system in memory that knows what was synced has it (pebble's CrashClone is one),
// or a virtual machine with its disk image.
type Crasher interface {
	// Crash returns the store as it is found after a power cut at this moment: all that
	// was synced, and each change that was not (a sector of a write, a new name, a
	// rename, a size) with a probability of so many percent. This store goes on as if
	// nothing had happened. It may be called inside the function of Changing.
	Crash(ctx context.Context, percent int, rng *rand.Rand) (Store, error)
	// Changing has f called before each change to the medium, from any goroutine, which
	// then waits for f; nil ends that.
	Changing(f func())
}

// Killer is a Store that another process can open, and that process can be killed.
//
// In a test, let the test binary run itself, with the place in its environment, and call
// [Child] there; see [Exec].
type Killer interface {
	// Spawn starts another process that calls [Child] over this store.
	Spawn(ctx context.Context) (*Process, error)
}

// Process is another process that has called [Child].
type Process struct {
	Stdin  io.WriteCloser
	Stdout io.Reader
	// Kill ends the process with SIGKILL and returns when it is gone.
	Kill func() error
}

// Exec starts a command whose process calls [Child] with its standard input and output.
func Exec(cmd *exec.Cmd) (*Process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: Wait would close it before all that was written is read.
	read, write := io.Pipe()
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		cmd.Wait() // all output is copied then
		write.Close()
	}()
	return &Process{in, read, func() error {
		err := cmd.Process.Kill()
		go io.Copy(io.Discard, read) // what the suite did not read must not keep Wait
		<-gone
		return err
	}}, nil
}

// Fixturer is a Store whose engine has formats: stores that were written before, by
// released versions, and one of a version that is not there yet.
type Fixturer interface {
	// Fixtures returns them, each a copy of its own below env.Dir.
	Fixtures(ctx context.Context, env *Env) ([]Fixture, error)
}

// Fixture is a store as some version wrote it.
type Fixture struct {
	Name  string
	Store Store
	// Newer is true of a store that this version can't know, as its format is newer.
	Newer bool
	// Lines are what [Listing] returned of the store when it was written.
	Lines []string
}

// Occupier is a Store whose place may hold something that is no store of the engine's.
//
// [Dir] has it: text, noise and zeros in a file or in a directory, whichever the engine
// keeps a store in.
type Occupier interface {
	// Occupied returns such places, each below env.Dir and never opened.
	Occupied(ctx context.Context, env *Env) ([]Occupied, error)
}

// Occupied is a place that holds something else.
type Occupied struct {
	Name  string // what is there, in words
	Store DigestedStore
	// Unfit is true where the engine can't even look for a store, as in a file where it
	// wants a directory.
	Unfit bool
}

// DigestedStore is a store whose stored bytes can be compared.
type DigestedStore interface {
	Store
	Digester
}

// Listing is what can be read of a store, one line for each record, hole and stream:
// what a [Fixture] is compared with, and what to keep beside it.
func Listing(ctx context.Context, s Subject) ([]string, error) { return listing(ctx, s) }

// seam returns the store of the rule, which is known to have the seam.
func seam[T any](c *Case) T { return c.store.(T) }

// digest is the digest of the store.
func (c *Case) digest() [32]byte {
	sum, err := seam[Digester](c).Digest(c.ctx)
	c.noError("Digest", err)
	return sum
}
