//go:build linux

package attack_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

const volumeBytes = 96 << 20

// TestAPowerCutLosesNothingAcknowledged cuts the power of a real file system, at a random
// moment, under a child that appends: ext4 keeps what was synced, and perhaps some of
// the rest. What is left is mounted again and compared with what was acknowledged. Each
// second cut is followed by another while what the first has left is being mended, or
// just has been.
func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	machine.NeedLoop(t)
	total := machine.Rounds(6, 24, 600)
	for name, how := range map[string]struct {
		options string
		mkfs    []string
	}{
		"ordered":                   {"data=ordered", nil},
		"ordered, commits are rare": {"data=ordered,commit=1000", nil},
		"writeback, small blocks":   {"data=writeback,commit=1000", []string{"-b", "1024"}},
		"journalled":                {"data=journal", []string{"-b", "4096"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPowered(t, volumeBytes, how.options, how.mkfs...)
			for round := range (total + 3) / 4 {
				p.round(round)
				if t.Failed() {
					t.Fatalf("round %d: the store is %s", round, keep(t, p.dir))
				}
			}
			p.report("power cut (" + name + ")")
		})
	}
}

// powered is a store on a file system whose power can be cut.
type powered struct {
	t                         *testing.T
	v                         *machine.Volume
	dir                       string // the store
	l                         *ledger
	rounds, cuts, stores      int
	acked, kept, lost, copies int
	late                      int
}

func newPowered(t *testing.T, size int64, options string, mkfs ...string) *powered {
	p := &powered{t: t, v: machine.NewVolume(t, machine.Tmpfs(t, 3*int(size)), size, options, mkfs...)}
	p.begin()
	return p
}

// begin goes on with a new store.
func (p *powered) begin() {
	if p.l != nil {
		p.acked, p.kept, p.lost = p.acked+p.l.acked, p.kept+p.l.kept, p.lost+p.l.lost
		p.late += p.l.late
		_ = os.RemoveAll(p.dir)
	}
	p.stores++
	p.dir, p.l = filepath.Join(p.v.Dir, fmt.Sprintf("store-%d", p.stores)), new(ledger)
}

func (p *powered) report(name string) {
	p.begin()
	if p.acked == 0 {
		p.t.Error("nothing was acknowledged: the test tested nothing")
	}
	p.t.Logf("attack: %s: %d rounds, %d acknowledged, %d lost, %d kept unacknowledged, %d acknowledged during a cut, %d cuts, %d images copied, %d stores",
		strings.ReplaceAll(name, ",", " "), p.rounds, p.acked, p.lost, p.kept, p.late, p.cuts, p.copies, p.stores-1)
}

// power is cut and comes back.
func (p *powered) cycle() {
	p.t.Helper()
	p.v.Umount()
	p.v.Mount()
	p.cuts++
}

func (p *powered) round(round int) {
	p.t.Helper()
	if machine.Free(p.t, p.v.Dir) < volumeBytes/2 || round%4 == 3 { // a young store has more of its first moments
		p.begin()
	}
	p.rounds++
	c := start(p.t, plan{Dir: p.dir, Fails: true, Large: round%4 == 1, Compact: round%3 > 0})
	after := time.Duration(rand.IntN(120_000)) * time.Microsecond
	if round%4 == 3 {
		after /= 4 // from the start of the process on
	} else {
		c.ready(p.t)
	}
	cut := make(chan struct{})
	time.AfterFunc(after, func() {
		defer close(cut)
		c.until.Store(machine.Clock())
		p.v.Cut()
		time.Sleep(2 * time.Millisecond) // what is under way fails, and must not be acknowledged
		c.kill()
	})
	p.listenToDying(c, nil)
	<-cut
	p.cycle()
	p.verify()
	if round%2 == 1 {
		p.cutWhileMending()
	}
}

// listenToDying is listen for a child that may also end because opening failed. on, if not
// nil, sees each message.
func (p *powered) listenToDying(c *child, on func(message)) {
	p.t.Helper()
	for {
		m, err := readMessage(c.out)
		if err != nil {
			break
		}
		if err := p.l.takeUntil(m, c.until.Load()); err != nil {
			p.t.Error(err)
		}
		if on != nil {
			on(m)
		}
	}
	_ = c.in.Close()
	_ = c.cmd.Wait()
	if text := c.stderr.String(); text != "" && !strings.Contains(text, syscall.EIO.Error()) && !strings.Contains(text, syscall.EROFS.Error()) {
		p.t.Errorf("the child says: %s", text)
	}
}

// verify opens what is there, compares, appends and closes.
func (p *powered) verify() {
	p.t.Helper()
	b := open(p.t, p.dir, nil)
	p.l.check(p.t, b)
	p.l.append(p.t, b, rand.IntN(streams))
	mustClose(p.t, b)
}

// cutWhileMending lets a child die while it appends, and cuts the power while its store
// is being opened or just has been, and an append was acknowledged perhaps.
func (p *powered) cutWhileMending() {
	p.t.Helper()
	c := start(p.t, plan{Dir: p.dir, Fails: true, Compact: rand.IntN(2) == 0})
	c.ready(p.t)
	time.AfterFunc(time.Duration(1+rand.IntN(20))*time.Millisecond, c.kill)
	p.listenToDying(c, nil)
	cut := make(chan struct{})
	time.AfterFunc(time.Duration(rand.IntN(6000))*time.Microsecond, func() {
		p.l.until.Store(machine.Clock())
		p.v.Cut()
		close(cut)
	})
	small := smallSegments()
	b, err := file.Open(p.t.Context(), p.dir, &small)
	if err == nil {
		for s := range streams {
			h, err := b.Head(p.t.Context(), nameOf(s))
			if err != nil || uint64(h.Version) != uint64(len(p.l.streams[s].records)) {
				continue // it holds what was in flight, which check has not taken in yet
			}
			if p.l.tryAppend(b, s, 2) != nil {
				break
			}
		}
	}
	<-cut
	if err == nil {
		_ = b.Close()
	}
	p.l.until.Store(0)
	p.cycle()
	p.verify()
}

// TestAPowerCutOnAFullDiskLosesNothingAcknowledged cuts the power of a disk that is full, or
// has just been, or is again.
func TestAPowerCutOnAFullDiskLosesNothingAcknowledged(t *testing.T) {
	machine.NeedLoop(t)
	p := newPowered(t, 24<<20, "data=ordered,commit=1000")
	weight := filepath.Join(p.v.Dir, "ballast")
	refused := 0
	for round := range machine.Rounds(2, 8, 200) {
		p.rounds++
		p.begin()
		if err := os.RemoveAll(p.dir); err != nil {
			t.Fatal(err)
		}
		machine.Ballast(t, weight, machine.Free(t, p.v.Dir)-(1+rand.IntN(3))<<20)
		c := start(t, plan{Dir: p.dir, Fails: true, Full: true, Large: round%2 == 1, Compact: round%4 < 2})
		c.ready(t)
		cut := make(chan struct{})
		go func() {
			defer close(cut)
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			if round%3 > 0 { // some of it is freed, and taken again
				_ = os.Truncate(weight, 4<<20)
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			}
			if round%3 == 2 {
				_ = machine.Stuff(weight)
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
			c.until.Store(machine.Clock())
			p.v.Cut()
			time.Sleep(2 * time.Millisecond)
			c.kill()
		}()
		p.listenToDying(c, func(m message) {
			if m.kind == notWritten {
				refused++
			}
		})
		<-cut
		p.cycle()
		_ = os.Remove(weight)
		p.verify()
		if t.Failed() {
			t.Fatalf("round %d: the store is %s", round, keep(t, p.dir))
		}
	}
	t.Logf("answered no space: %d", refused)
	p.report("power cut on a full disk")
}

// TestACopyOfTheDiskUnderAppendsHoldsAllThatWasAcknowledged copies the image below a
// mounted file system, while a child that was appending is stopped, and goes on with the
// copy: what has reached the disk is all there is.
func TestACopyOfTheDiskUnderAppendsHoldsAllThatWasAcknowledged(t *testing.T) {
	machine.NeedLoop(t)
	p := newPowered(t, volumeBytes, "data=ordered,commit=1000")
	for round := range machine.Rounds(3, 10, 200) {
		p.copied()
		if t.Failed() {
			t.Fatalf("round %d: the store is %s", round, keep(t, p.dir))
		}
	}
	p.report("image copy")
}

func (p *powered) copied() {
	p.t.Helper()
	if machine.Free(p.t, p.v.Dir) < volumeBytes/2 {
		p.begin()
	}
	p.rounds++
	c := start(p.t, plan{Dir: p.dir, Compact: rand.IntN(2) == 0})
	c.ready(p.t)
	copyTo := p.v.Image + ".copy"
	done := make(chan error, 1)
	time.AfterFunc(time.Duration(1+rand.IntN(100))*time.Millisecond, func() {
		_ = c.cmd.Process.Signal(syscall.SIGSTOP)
		waitStopped(c.cmd.Process.Pid)
		done <- copySparse(p.v.Image, copyTo)
		c.kill()
	})
	c.listen(p.t, p.l, nil)
	if err := <-done; err != nil {
		p.t.Fatal(err)
	}
	p.copies++
	p.v.Umount()
	if err := os.Rename(copyTo, p.v.Image); err != nil {
		p.t.Fatal(err)
	}
	p.v.Mount()
	p.verify()
}

// waitStopped waits until all threads of a process have stopped.
func waitStopped(pid int) {
	for range 1000 {
		moving := false
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, name := range tasks {
			b, err := os.ReadFile(name)
			_, after, _ := strings.Cut(string(b), ") ")
			moving = moving || err == nil && !strings.HasPrefix(after, "T")
		}
		if !moving {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// copySparse copies a file, and leaves holes where it holds zeros.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	b, none := make([]byte, 64<<10), string(make([]byte, 64<<10))
	for at := int64(0); ; at += int64(len(b)) {
		n, err := in.ReadAt(b, at)
		if string(b[:n]) != none[:n] {
			if _, err := out.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return out.Truncate(at + int64(n))
		}
		if err != nil {
			return err
		}
	}
}
