//go:build linux

package attack_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

func readOnly() *file.Options {
	o := smallSegments()
	o.ReadOnly = true
	return &o
}

// mustBeLocked tries to open a store that a process holds.
func mustBeLocked(t *testing.T, dir string, holder int) {
	t.Helper()
	begun := time.Now()
	b, err := file.Open(t.Context(), dir, nil)
	if err == nil {
		b.Close()
	}
	if !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", holder)) {
		t.Errorf("opening a store that process %d holds: %v", holder, err)
	}
	if took := time.Since(begun); took > prompt {
		t.Errorf("it took %v", took)
	}
}

func TestOneProcessWritesAndOthersRead(t *testing.T) {
	rounds, holders, killed, acked, lost := machine.Rounds(2, 5, 100), 0, 0, 0, 0
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "store")
		l := new(ledger)
		b := open(t, dir, nil)
		for i := range streams {
			l.append(t, b, i)
		}
		mustClose(t, b)

		// Another process holds it: no writer gets in, readers do.
		holder := start(t, plan{Dir: dir, Hold: true})
		holder.ready(t)
		holders++
		mustBeLocked(t, dir, holder.cmd.Process.Pid)
		r := open(t, dir, readOnly())
		l.check(t, r)
		again := open(t, dir, readOnly()) // two readers do not mind each other
		l.check(t, again)
		mustClose(t, again)
		if round%2 == 0 { // it is killed
			killed++
			holder.kill()
			_ = holder.cmd.Wait()
		} else { // it closes
			_ = holder.in.Close()
			if err := holder.cmd.Wait(); err != nil {
				t.Errorf("the holder: %v: %s", err, holder.stderr.String())
			}
		}
		b = open(t, dir, nil)
		l.append(t, b, 1)
		l.check(t, b)

		// This process holds it, with a reader open, too.
		mustBeLocked(t, dir, os.Getpid())
		l.append(t, b, 2)
		mustClose(t, r)
		mustBeLocked(t, dir, os.Getpid()) // a reader's end gives no lock back
		other := start(t, plan{Dir: dir, Hold: true})
		if _, err := readMessage(other.out); err == nil {
			t.Error("another process got in")
		}
		_ = other.in.Close()
		_ = other.cmd.Wait()
		if text := other.stderr.String(); !strings.Contains(text, backend.ErrLocked.Error()) || !strings.Contains(text, fmt.Sprintf("process %d ", os.Getpid())) {
			t.Errorf("another process was told: %s", text)
		}

		// A child that knows nothing of the store keeps neither files nor lock.
		bystander := start(t, plan{Nothing: true})
		bystander.ready(t)
		if open := openIn(t, bystander.cmd.Process.Pid, dir); len(open) > 0 {
			t.Errorf("a child has inherited %v", open)
		}
		l.append(t, b, 3)
		mustClose(t, b)
		b = open2(t, dir, l) // while it lives
		mustClose(t, b)
		_ = bystander.in.Close()
		if err := bystander.cmd.Wait(); err != nil {
			t.Errorf("the bystander: %v", err)
		}
		acked, lost = acked+l.acked, lost+l.lost
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("attack: two processes: %d rounds, %d acknowledged, %d lost, %d holders, %d of them killed", rounds, acked, lost, holders, killed)
}

// open2 opens a store that must be free, appends and checks.
func open2(t *testing.T, dir string, l *ledger) *backend.Backend {
	t.Helper()
	b := open(t, dir, nil)
	l.append(t, b, 4)
	l.check(t, b)
	return b
}

// openIn returns what a process has open below a directory.
func openIn(t *testing.T, pid int, dir string) (names []string) {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) {
			names = append(names, name)
		}
	}
	return names
}

// TestAReaderBesideAWritingProcessSeesOnlyWhatWasAppended opens the store for reading, over
// and over, while another process appends, packs, compacts and is killed. What a reader has
// open does not go away below it.
func TestAReaderBesideAWritingProcessSeesOnlyWhatWasAppended(t *testing.T) {
	rounds, reads, acked, lost := machine.Rounds(2, 4, 100), 0, 0, 0
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "store")
		c := start(t, plan{Dir: dir, Compact: round%2 == 1})
		c.ready(t)
		time.AfterFunc(250*time.Millisecond, c.kill)
		done, over := make(chan int), make(chan struct{})
		go func() { done <- readBeside(t, dir, over) }()
		l := new(ledger)
		c.listen(t, l, nil)
		close(over)
		reads += <-done
		b := open(t, dir, nil)
		l.check(t, b)
		mustClose(t, b)
		acked, lost = acked+l.acked, lost+l.lost
		if t.Failed() {
			t.Fatalf("the store is %s", keep(t, dir))
		}
	}
	t.Logf("attack: reader beside writer: %d rounds, %d acknowledged, %d lost, %d times opened beside the writer", rounds, acked, lost, reads)
}

// readBeside opens a store for reading and reads all of it twice, again and again until it
// is over, and returns how often.
func readBeside(t *testing.T, dir string, over <-chan struct{}) (n int) {
	for last := backend.Position(0); !t.Failed(); n++ {
		select {
		case <-over:
			return n
		default:
		}
		b, err := file.Open(t.Context(), dir, readOnly())
		if err != nil {
			t.Errorf("a reader beside a writer: %v", err)
			return n
		}
		first := readDense(t, b)
		if rand.IntN(4) == 0 { // by now files may have gone
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			readStreams(t, b)
		}
		if again := readDense(t, b); again != first {
			t.Error("a reader reads other records than before")
		}
		at, err := b.Last(t.Context())
		if err != nil || at < last {
			t.Errorf("a reader is at position %d after %d: %v", at, last, err)
		}
		last = at
		b.Close()
	}
	return n
}

// readDense reads a store by position, and returns the checksum of it. Versions are missing
// only below floors.
func readDense(t *testing.T, b *backend.Backend) string {
	sum := sha256.New()
	at, versions := backend.Position(0), map[string]backend.Version{}
	for r, err := range b.Read(t.Context(), backend.Query{}) {
		if err != nil || r.Position <= at {
			t.Errorf("a reader beside a writer: position %d after %d: %v", r.Position, at, err)
			break
		}
		if v := versions[r.Stream]; r.Version != v+1 {
			if h, err := b.Head(t.Context(), r.Stream); err != nil || h.Floor < r.Version {
				t.Errorf("a reader beside a writer: %q version %d after %d, which is at %+v: %v", r.Stream, r.Version, v, h, err)
			}
		}
		at, versions[r.Stream] = r.Position, r.Version
		fmt.Fprintf(sum, "%d %q %d %x", r.Position, r.Stream, r.Version, r.Payload)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// readStreams reads each stream from its floor to its head.
func readStreams(t *testing.T, b *backend.Backend) {
	for i := range streams {
		h, err := b.Head(t.Context(), nameOf(i))
		next := max(h.Floor, 1)
		for r, readErr := range b.Read(t.Context(), backend.Query{Stream: nameOf(i)}) {
			if err = readErr; err != nil || r.Version != next {
				break
			}
			next++
		}
		if err != nil || next != max(h.Floor, h.Version+1) && h.Version > 0 {
			t.Errorf("a reader beside a writer: %q at %+v reads up to %d: %v", nameOf(i), h, next-1, err)
		}
	}
}
