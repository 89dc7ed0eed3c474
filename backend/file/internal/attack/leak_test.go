//go:build linux

package attack_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// descriptors is how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// ways are ways to open, use, break and close a store in a directory.
var ways = map[string]func(t *testing.T, dir string){
	"nothing": func(t *testing.T, dir string) {
		mustClose(t, open(t, dir, nil))
	},
	"used, idle until it is marked, closed twice": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		l := new(ledger)
		for i := range streams {
			l.append(t, b, i)
		}
		l.check(t, b)
		time.Sleep(60 * time.Millisecond) // that the marker is at work can't be seen from here
		mustClose(t, b)
		mustClose(t, b)
	},
	"closed at once after rotations": func(t *testing.T, dir string) {
		b, err := file.Open(t.Context(), dir, &file.Options{SegmentBytes: 8 << 10})
		if err != nil {
			t.Fatal(err)
		}
		l := new(ledger)
		for i := range 4 * streams {
			l.append(t, b, i%streams)
		}
		mustClose(t, b)
	},
	"a read that is not ended": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		new(ledger).append(t, b, 1)
		for range b.Read(t.Context(), backend.Query{}) {
			break
		}
		mustClose(t, b)
	},
	"locked out": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		for range 5 {
			mustBeLocked(t, dir, os.Getpid())
		}
		mustClose(t, b)
	},
	"reopened": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		l := new(ledger)
		for range 5 {
			l.append(t, b, 1)
			if err := b.Reopen(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, b)
	},
	"a Reopen that fails": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		new(ledger).append(t, b, 1)
		away := dir + ".away"
		if err := os.Rename(dir, away); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := b.Reopen(t.Context()); err == nil {
				t.Error("it reopened a file")
			}
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(away, dir); err != nil {
			t.Fatal(err)
		}
		_ = b.Close()
	},
	"opens that fail": func(t *testing.T, dir string) {
		mustClose(t, open(t, dir, nil))
		for _, name := range []string{"MANIFEST", "MARK"} {
			if err := flip(filepath.Join(dir, name), 0); err != nil {
				t.Fatal(err)
			}
			if err := flip(filepath.Join(dir, name), 4096); err != nil && name == "MARK" {
				t.Fatal(err)
			}
			for range 3 {
				if b, err := file.Open(t.Context(), dir, nil); err == nil {
					t.Errorf("it opened with a damaged %s", name)
					b.Close()
				}
			}
			if err := flip(filepath.Join(dir, name), 0); err != nil {
				t.Fatal(err)
			}
		}
	},
	"an open that is cancelled": func(t *testing.T, dir string) {
		mustClose(t, open(t, dir, nil))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if b, err := file.Open(ctx, dir, nil); err == nil {
			t.Error("it opened")
			b.Close()
		}
	},
	"callers that gave up": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Microsecond)
			m := message{count: 3, seed: 7}
			batch := batchOf(&m)
			batch.Expected, batch.ID = backend.Any, backend.BatchID{}
			_, _ = b.Append(ctx, batch)
			cancel()
		}
		mustClose(t, b)
	},
	"closed under appends": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		done := make(chan struct{})
		for i := range writers {
			go func() {
				defer func() { done <- struct{}{} }()
				for {
					m := message{stream: uint16(i), count: 2, seed: 7}
					batch := batchOf(&m)
					batch.Expected, batch.ID = backend.Any, backend.BatchID{}
					if _, err := b.Append(t.Context(), batch); err != nil {
						return
					}
				}
			}()
		}
		time.Sleep(5 * time.Millisecond)
		mustClose(t, b)
		for range writers {
			<-done
		}
	},
	"closed under packing, compactions and reads": func(t *testing.T, dir string) {
		b := open(t, dir, &file.Options{SegmentBytes: 8 << 10})
		stream := backend.SystemStream("leak", backend.Audit)
		for range 60 {
			add(t, b, stream, 800)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				h, err := b.Head(context.Background(), stream)
				if err == nil {
					_, err = b.Compact(context.Background(), backend.Cut{Floors: []backend.StreamFloor{{Stream: stream, Floor: max(h.Floor, h.Version-5)}}})
				}
				if err == nil {
					_, err = b.Append(context.Background(), backend.Batch{Stream: stream, Expected: backend.Any, Records: make([]backend.Record, 9)})
				}
				if err != nil {
					return
				}
			}
		}()
		begun := time.Now()
		for time.Since(begun) < 20*time.Millisecond {
			for range b.Read(t.Context(), backend.Query{}) {
				break
			}
			for range b.Read(t.Context(), backend.Query{Stream: stream, Reverse: true}) {
			}
		}
		mustClose(t, b)
		<-done
	},
	"compactions that were cancelled, and a quarantine": func(t *testing.T, dir string) {
		b := open(t, dir, &file.Options{SegmentBytes: 8 << 10})
		for i := range 60 {
			add(t, b, "goes", 800)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
			_, _ = b.Compact(ctx, backend.Cut{})
			cancel()
		}
		mustCompact(t, b)
		if names := spans(t, dir); len(names) > 0 {
			if err := flip(names[0], 5000); err != nil {
				t.Error(err)
			}
		}
		if report, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine}); err != nil || !report.After.Clean() {
			t.Errorf("quarantine: %v: %+v", err, report)
		}
		mustClose(t, b)
	},
	"no descriptors left": func(t *testing.T, dir string) {
		mustClose(t, open(t, dir, nil))
		var before syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) }()
		for n := descriptors(t); n < descriptors(t)+12; n++ {
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(n), Max: before.Max}); err != nil {
				t.Fatal(err)
			}
			b, err := file.Open(context.Background(), dir, nil)
			if err == nil {
				new(ledger).tryAppend(b, 0, 1)
				b.Close()
				break
			}
		}
	},
	"scans, recoveries and readers": func(t *testing.T, dir string) {
		b := open(t, dir, nil)
		l := new(ledger)
		l.append(t, b, 1)
		strew(dir, 1)
		if _, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Repair}); err != nil {
			t.Error(err)
		}
		for range 3 {
			r := open(t, dir, readOnly())
			l.check(t, r)
			mustClose(t, r)
		}
		mustClose(t, b)
	},
	"on a disk that dies": func(t *testing.T, dir string) {
		machine.NeedLoop(t)
		v := machine.NewVolume(t, filepath.Dir(dir), 16<<20, "")
		b := open(t, filepath.Join(v.Dir, "store"), nil)
		l := new(ledger)
		l.append(t, b, 1)
		v.Cut()
		_ = l.tryAppend(b, 2, 1)
		_ = b.Reopen(t.Context())
		_, _ = b.Scan(t.Context(), nil)
		_ = b.Close()
		v.Umount()
	},
}

func TestNothingIsLeftOpenOrRunning(t *testing.T) {
	rounds := machine.Rounds(1, 2, 30)
	before := descriptors(t)
	for range rounds {
		for name, way := range ways {
			t.Run(name, func(t *testing.T) {
				running := goleak.IgnoreCurrent()
				n := descriptors(t)
				way(t, filepath.Join(t.TempDir(), "store"))
				if left := descriptors(t); left != n {
					t.Errorf("%d descriptors were open, %d are: %v", n, left, openIn(t, os.Getpid(), "/"))
				}
				if err := goleak.Find(running); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors were open, %d are", before, after)
	}
	t.Logf("attack: leaks: %d rounds, %d ways, 0 acknowledged, 0 lost, %d descriptors before and after", rounds, len(ways), before)
}

// flip changes one bit of a file.
func flip(name string, at int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], at)
	return err
}
