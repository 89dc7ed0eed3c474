//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

func TestDeletingTheLockFileLetsNoSecondWriterIn(t *testing.T) {
	const child = "PAPYRA_TEST_DELETED"
	if dir := os.Getenv(child); dir != "" {
		b, err := Open(context.Background(), dir, nil)
		if err == nil {
			b.Close()
		}
		fmt.Println(errors.Is(err, backend.ErrLocked), err)
		os.Exit(0)
	}
	dir := filepath.Join(t.TempDir(), "store")
	first := openAt(t, dir, nil)
	for _, plant := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(filepath.Join(dir, lockName), []byte("somebody else\n"), 0o600) },
	} {
		if err := os.Remove(filepath.Join(dir, lockName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), dir, nil); !errors.Is(err, backend.ErrLocked) || strings.Contains(err.Error(), "by  ") {
			t.Fatalf("in this process: %v", err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestDeletingTheLockFile")
		cmd.Env = append(os.Environ(), child+"="+dir)
		if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "true ") {
			t.Fatalf("in another process: %v: %s", err, out)
		}
	}
	appendOne(t, first, "s", "still mine")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, dir, nil)
	if got, err := os.ReadFile(filepath.Join(dir, lockName)); err != nil || !strings.Contains(string(got), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("%v: LOCK says %q", err, got)
	}
	mustBeClean(t, again)
}

func TestAChildThatIsBeingStartedKeepsNoLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := openAt(t, dir, nil)
	var stop atomic.Bool
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop.Store(true)
	for range 4 {
		wait.Go(func() {
			for !stop.Load() {
				_ = exec.Command("/bin/true").Run()
			}
		})
	}
	took := time.Second
	if long {
		took = 10 * time.Second
	}
	n := 0
	for end := time.Now().Add(took); time.Now().Before(end); n++ {
		if err := b.Reopen(context.Background()); err != nil {
			t.Fatalf("reopening for the %dth time: %v", n+1, err)
		}
	}
	t.Logf("%d times", n)
}

func TestWhatIsNoRegularFileHangsNothing(t *testing.T) {
	kinds := map[string]func(path string) error{
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":      func(path string) error { return os.Symlink("nothing", path) },
	}
	want := map[string]error{lockName: backend.ErrFormat, manifestName: backend.ErrCorrupt, markName: backend.ErrCorrupt, segmentName(1): backend.ErrCorrupt, segmentName(99): backend.ErrCorrupt}
	for kind, plant := range kinds {
		for _, name := range []string{manifestName, markName, lockName, segmentName(1), segmentName(99), manifestName + tmpSuffix, segmentName(2) + tmpSuffix} {
			for _, reading := range []bool{false, true} {
				what := fmt.Sprintf("%s for %s, read-only %v", kind, name, reading)
				dir := filepath.Join(t.TempDir(), "store")
				b := openAt(t, dir, nil)
				appendOne(t, b, "s", "x")
				b.Close()
				path := filepath.Join(dir, name)
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				if err := plant(path); err != nil {
					t.Fatal(err)
				}
				before := hash(t, dir)
				opts := &Options{}
				opts.ReadOnly = reading
				done := make(chan error, 1)
				go func() {
					b, err := Open(context.Background(), dir, opts)
					if err == nil {
						err = b.Close()
					}
					done <- err
				}()
				select {
				case err := <-done:
					want := want[name]
					if reading && name == lockName {
						want = nil
					}
					if reading && kind == "a link" && want == nil {
						want = backend.ErrCorrupt // links have a mode that is warned of
					}
					if !errors.Is(err, want) {
						t.Errorf("%s: %v", what, err)
					}
					if name == lockName && hash(t, dir) != before {
						t.Errorf("%s: something has changed", what)
					}
				case <-time.After(5 * time.Second):
					t.Fatalf("%s: it hangs", what)
				}
			}
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := Open(context.Background(), pipe, nil); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, backend.ErrUnavailable) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("a pipe for the directory: it hangs")
	}
}

func TestAPlantedLinkIsNeverWrittenThrough(t *testing.T) {
	for _, name := range []string{manifestName, markName, segmentName(3)} {
		for _, hard := range []bool{true, false} {
			top := t.TempDir()
			dir, victim := filepath.Join(top, "store"), filepath.Join(top, "store", "victim")
			b := openAt(t, dir, &Options{SegmentBytes: 8 << 10})
			appendOne(t, b, "s", "x")
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			plant := os.Symlink
			from := "victim"
			if hard {
				plant, from = os.Link, victim
			}
			if err := plant(from, filepath.Join(dir, name+tmpSuffix)); err != nil {
				t.Fatal(err)
			}
			for range 30 {
				appendOne(t, b, "s", strings.Repeat("x", 900))
			}
			want := mustContents(t, b)
			if name == markName { // only recover writes it
				if err := os.Remove(filepath.Join(dir, markName)); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: backend.Repair}); err != nil {
					t.Fatal(err)
				}
			}
			b.Close()
			got, err := os.ReadFile(victim)
			if err != nil {
				got, err = os.ReadFile(filepath.Join(dir, quarantineDir, "victim"))
			}
			if err != nil || string(got) != "precious" {
				t.Errorf("%s, hard %v: %v: the victim is %.20q", name, hard, err, got)
			}
			if got := mustContents(t, openAt(t, dir, nil)); !slices.Equal(got, want) {
				t.Errorf("%s, hard %v: %d records, want %d", name, hard, len(got), len(want))
			}
		}
	}
}

func TestALockThatIsAnotherFileTooIsRefusedUntouched(t *testing.T) {
	for kind, plant := range map[string]func(from, to string) error{"hard": os.Link, "symbolic": func(_, to string) error { return os.Symlink(segmentName(1), to) }} {
		dir := filepath.Join(t.TempDir(), "store")
		b := openAt(t, dir, nil)
		appendOne(t, b, "s", "x")
		b.Close()
		if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
			t.Fatal(err)
		}
		if err := plant(filepath.Join(dir, segmentName(1)), filepath.Join(dir, lockName)); err != nil {
			t.Fatal(err)
		}
		before := hash(t, dir)
		if _, err := Open(context.Background(), dir, nil); !errors.Is(err, backend.ErrFormat) || !strings.Contains(err.Error(), lockName) {
			t.Errorf("%s: %v", kind, err)
		}
		if hash(t, dir) != before {
			t.Errorf("%s: something has changed", kind)
		}
	}
}

func TestADirectoryThatOthersMayWriteToIsAWarning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := openAt(t, dir, nil)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	report, err := b.Scan(context.Background(), &backend.ScanOptions{Quick: true})
	if err != nil || report.Warnings != 1 || report.Anomalies[0].Code != backend.BadPermission || report.Anomalies[0].File != "." {
		t.Errorf("%v %+v", err, report)
	}
}

func TestMemoryDoesNotFollowTheSizeOfAStrayOrDamagedFile(t *testing.T) {
	if slow {
		t.Skip("the race detector's own memory follows what is read")
	}
	for what, size := range map[string]int64{"stray": 3 << 28, "larger than any segment": 5 << 30, "ours": 3 << 28, "old segment": 3 << 28} {
		dir := filepath.Join(t.TempDir(), "store")
		b := openAt(t, dir, &Options{SegmentBytes: 8 << 10})
		for range 20 {
			appendOne(t, b, "s", strings.Repeat("x", 900))
		}
		uuid := backendUUID(t, dir)
		b.Close()
		name, content := segmentName(99), []byte("no header")
		switch what {
		case "ours":
			h := segmentHeader{format: FormatVersion, store: uuid, id: 99, life: 1}
			content = h.encode()
		case "old segment":
			name, content = segmentName(1), nil
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(content, 0)
		if what == "old segment" {
			_, err = f.WriteAt([]byte{1}, 100<<10)
			if err == nil {
				_, err = f.WriteAt([]byte{1}, size-1)
			}
		} else if err == nil {
			err = f.Truncate(size)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		opts := &Options{}
		opts.Startup.Mode = backend.IgnoreAnomalies
		if what == "old segment" {
			if testing.Short() {
				continue
			}
			opts.Startup.Mode = backend.RecoverAnomalies
		}
		b, err = Open(context.Background(), dir, opts)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		report, err := b.Scan(context.Background(), &backend.ScanOptions{Quick: true})
		if err != nil {
			t.Fatal(err)
		}
		if found := report.Warnings == 1; found != strings.Contains("stray, larger than any segment", what) {
			t.Errorf("%s: %+v", what, report)
		}
		b.Close()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: %d MiB", what, n>>20)
		}
	}
}

func backendUUID(t testing.TB, dir string) [16]byte {
	t.Helper()
	d, err := disk.OpenDir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, _, err := readManifest(d)
	if err != nil {
		t.Fatal(err)
	}
	return m.store
}

func TestARecordOfAnotherStreamIsNeverHandedOut(t *testing.T) {
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, nil)
	appendOne(t, b, "mine", "one")
	appendOne(t, b, "theirs", "secret")
	b.Close()
	s, err := openStore(context.Background(), Options{}, func(bool) (disk.FS, error) { return f, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	streams := s.view.segments[0].table.streams
	streams["mine"].numbered[0] = streams["theirs"].numbered[0]
	for _, reverse := range []bool{false, true} {
		var last error
		for r, err := range s.Read(context.Background(), backend.Query{Stream: "mine", From: 1, To: 9, Reverse: reverse, Kinds: backend.AllKinds}) {
			if last = err; err == nil {
				t.Errorf("handed out: %s %q", r.Stream, r.Payload)
			}
		}
		if !errors.Is(last, backend.ErrCorrupt) {
			t.Error(last)
		}
	}
}

func TestAFailedSyncOfTheDirectoryAfterACleanCloseLosesNothing(t *testing.T) {
	opts := &Options{SegmentBytes: 8 << 10}
	for nth := range int64(3) {
		f := new(faultfs.FS)
		fault := &failing{kind: faultfs.SyncDir, err: syscall.EIO}
		fault.after.Store(never)
		f.Hook = fault.hook
		b := mustOpenMem(t, f, opts)
		appendOne(t, b, "s", strings.Repeat("x", 1500)) // no next segment is prepared early
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = mustOpenMem(t, f, opts)
		fault.after.Store(nth)
		_, err := tryAppend(b, "s", strings.Repeat("y", 4000)) // prepares the next segment
		if (err != nil) != (nth < 2) {
			t.Fatalf("%d: %v", nth, err)
		}
		if err != nil {
			if err := b.Reopen(context.Background()); err != nil {
				t.Fatal(err)
			}
			fault.after.Store(never)
			appendOne(t, b, "s", strings.Repeat("z", 4000))
		}
		want := mustContents(t, b)
		again, err := openMem(f.Crash(faultfs.None), opts)
		if err != nil {
			t.Fatalf("%d: %v", nth, err)
		}
		if got := mustContents(t, again); !slices.Equal(got, want) {
			t.Errorf("%d: %d records after the power cut, want %d", nth, len(got), len(want))
		}
		again.Close()
		b.Close()
	}
}

func TestAnErrorNamesASegmentAsItIsCalledNow(t *testing.T) {
	d, err := disk.OpenDir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := &store{dir: d}
	sg := newSegment(s.uuid, listed{id: 1, life: 1}, nil)
	if err := s.create(sg, 0); err != nil {
		t.Fatal(err)
	}
	if err := sg.file.Close(); err != nil {
		t.Fatal(err)
	}
	_, read := sg.file.ReadAt(make([]byte, 1), 0)
	_, written := sg.file.WriteAt(make([]byte, 1), 0)
	for _, err := range []error{read, written, sg.file.Truncate(0), sg.file.Sync(), sg.file.Datasync(), sg.file.Close()} {
		if err == nil || !strings.Contains(err.Error(), segmentName(1)) || strings.Contains(err.Error(), tmpSuffix) {
			t.Error(err)
		}
	}
}

func TestAnUnreadableLockIsNoDamageToTheStore(t *testing.T) {
	f := new(faultfs.FS)
	mustOpenMem(t, f, nil).Close()
	fault := &failing{kind: faultfs.Lock, err: syscall.EIO}
	f.Hook = fault.hook
	if _, err := openMem(f, nil); !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrCorrupt) {
		t.Error(err)
	}
}
