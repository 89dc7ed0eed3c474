package file

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// hash is everything that can be seen of a directory.
func hash(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintln(h, rel, info.Mode(), info.ModTime().UnixNano(), info.Size())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			h.Write(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// copyTree copies a store's files as they are now.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestASecondWriterInThisProcessIsLockedOutByName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	first := openAt(t, dir, nil)
	other := filepath.Join(t.TempDir(), "link") // the same directory by another path
	if err := os.Symlink(dir, other); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, other} {
		_, err := Open(context.Background(), path, nil)
		if !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("%s: %v", path, err)
		}
	}
	appendOne(t, first, "s", "still mine")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, dir, nil)
}

func TestASecondWriterInAnotherProcessIsLockedOutUntilTheFirstDies(t *testing.T) {
	const child = "PAPYRA_TEST_HOLD"
	if dir := os.Getenv(child); dir != "" {
		if _, err := Open(context.Background(), dir, nil); err != nil {
			fmt.Println("error:", err)
			return
		}
		fmt.Println("open")
		_, _ = io.Copy(io.Discard, os.Stdin) // until killed
		return
	}
	dir := filepath.Join(t.TempDir(), "store")
	cmd := exec.Command(os.Args[0], "-test.run=^TestASecondWriterInAnotherProcess")
	cmd.Env = append(os.Environ(), child+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the other process says %q", lines.Text())
	}
	_, err = Open(context.Background(), dir, nil)
	if !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	openAt(t, dir, nil)
}

func TestAReadOnlyOpenChangesNothingAndNeedsNoWritableDirectory(t *testing.T) {
	dir, frozen := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "frozen")
	b := openAt(t, dir, nil)
	for i := range 10 {
		appendOne(t, b, "s", fmt.Sprint(i))
	}
	want := mustContents(t, b)
	size := headerSize + stat(t, b, "log_bytes") - headerSize
	copyTree(t, dir, frozen) // as a crash would leave it
	seg := filepath.Join(frozen, segmentName(1))
	f, err := os.OpenFile(seg, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("torn"), size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, name := range []string{lockName, markName, manifestName, segmentName(1)} {
		if err := os.Chmod(filepath.Join(frozen, name), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(frozen, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(frozen, 0o700) })
	before := hash(t, frozen)
	opts := &Options{}
	opts.ReadOnly = true
	one, two := openAt(t, frozen, opts), openAt(t, frozen, opts)
	for _, r := range []*backend.Backend{one, two} {
		if got := mustContents(t, r); !slices.Equal(got, want) {
			t.Errorf("%d records, want %d", len(got), len(want))
		}
		report, err := r.Scan(context.Background(), nil)
		if err != nil || report.Notices != 1 || !report.Clean() || report.Anomalies[0].Code != backend.TornTail || report.Anomalies[0].Offset != size {
			t.Errorf("%v %+v", err, report)
		}
		recovered, err := r.Recover(context.Background(), backend.RecoveryOptions{Mode: backend.Repair, DryRun: true})
		if err != nil || len(recovered.Actions) != 1 || recovered.Actions[0].Action != "cut" {
			t.Errorf("%v %+v", err, recovered)
		}
		if _, err := tryAppend(r, "s", "x"); !errors.Is(err, backend.ErrUnsupported) {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if hash(t, frozen) != before {
		t.Error("something has changed")
	}
}

func TestWhatIsNotAStoreIsLeftUntouched(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"another program's files":       {"notes.txt": "mine"},
		"another program's lock":        {"LOCK": "", "CURRENT": "x"},
		"another program's manifest":    {"MANIFEST": "leveldb"},
		"a newer format":                {"MANIFEST": "papyra file store format 3\nwho knows\n", "LOCK": "x", "MARK": "y"},
		"segments without a manifest":   {segmentName(1): "x"},
		"a papyra manifest that is not": {"MANIFEST": "papyra file store format 1\nstore 00\n", "LOCK": "x"},
	} {
		dir := t.TempDir()
		for f, content := range files {
			if err := os.WriteFile(filepath.Join(dir, f), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := hash(t, dir)
		_, err := Open(context.Background(), dir, nil)
		want := backend.ErrFormat
		if strings.Contains(name, "manifest that") || strings.Contains(name, "without") {
			want = backend.ErrCorrupt
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if hash(t, dir) != before {
			t.Errorf("%s: touched", name)
		}
	}
}

func TestAReadOnlyOpenCreatesNothing(t *testing.T) {
	opts := &Options{}
	opts.ReadOnly = true
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := Open(context.Background(), dir, opts); !errors.Is(err, backend.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it was created:", err)
	}
	if _, err := Open(context.Background(), t.TempDir(), opts); !errors.Is(err, backend.ErrFormat) {
		t.Error(err)
	}
}

func TestFilesAndDirectoriesAreTheirOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := openAt(t, dir, &Options{SegmentBytes: 8 << 10})
	for range 50 {
		appendOne(t, b, "s", strings.Repeat("x", 500))
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // renamed or removed meanwhile, in the background
			return nil
		}
		if err != nil {
			return err
		}
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[e.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, markName), 0o666); err != nil {
		t.Fatal(err)
	}
	report, err := b.Scan(context.Background(), &backend.ScanOptions{Quick: true})
	if err != nil || report.Warnings != 1 || report.Anomalies[0].Code != backend.BadPermission {
		t.Errorf("%v %+v", err, report)
	}
}

func TestTenRecordsTakeLittleSpace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := openAt(t, dir, nil)
	for i := range 10 {
		appendOne(t, b, "s", strings.Repeat("x", 100*i))
	}
	b.Close()
	total := int64(0)
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if info, err := e.Info(); err == nil && !e.IsDir() {
			total += info.Size()
		}
		return err
	})
	if total > 128<<10 {
		t.Errorf("%d bytes", total)
	}
}

func TestAURLNamesADirectory(t *testing.T) {
	for raw, want := range map[string]string{
		"file:///var/lib/app":         "/var/lib/app",
		"file://localhost/var/lib":    "/var/lib",
		"file:relative/dir":           "relative/dir",
		"file:./a%20b":                "./a b",
		"file://./relative":           "./relative",
		"file:///with%20space?name=x": "/with space",
		"file:../up":                  "../up",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := backend.DirectoryOf(u); got != want || err != nil {
			t.Errorf("%s: %q, %v", raw, got, err)
		}
	}
	for raw, hint := range map[string]string{"file://var/lib": "file:///var/lib", "file://": "file:///absolute/path"} {
		_, err := backend.Open(context.Background(), raw)
		if !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "by url")
	b, err := backend.Open(context.Background(), "file://"+strings.ReplaceAll(dir, " ", "%20")+"?segment-bytes=16384&name=n")
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() != "n" || b.Engine() != "file" {
		t.Error(b.Name(), b.Engine())
	}
	b.Close()
	if _, err := backend.Open(context.Background(), "file:"+dir+"?segment-bytes=7"); !errors.Is(err, backend.ErrInvalid) {
		t.Error(err)
	}
}

func TestRecoverMakesAgainWhatCanBeDerived(t *testing.T) {
	ctx := context.Background()
	f := new(faultfs.FS)
	tr := smallStore(t, f)
	f.Take(markName)
	f.Bytes(segmentName(2))[100] = 1
	f.Put("notes.txt", []byte("mine"))
	f.Put(manifestName+tmpSuffix, []byte("half"))
	if _, err := openMem(f, nil); !errors.Is(err, backend.ErrCorrupt) {
		t.Fatal(err)
	}
	opts := &Options{keepLog: true}
	opts.Startup.Mode = backend.IgnoreAnomalies
	b := mustOpenMem(t, f, opts)
	plan, err := b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Repair, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	done, err := b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Repair})
	if err != nil || !slices.Equal(plan.Actions, done.Actions) || !done.After.Clean() || len(done.Actions) != 3 {
		t.Fatalf("%v\nplanned %+v\ndone %+v\nleft %+v", err, plan.Actions, done.Actions, done.After)
	}
	if again, err := b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Repair}); err != nil || len(again.Actions) != 0 {
		t.Errorf("again: %v %+v", err, again.Actions)
	}
	if string(f.Bytes(quarantineDir+"/notes.txt")) != "mine" {
		t.Error("the stray file is gone")
	}
	b.Close()
	b = mustOpenMem(t, f, nil)
	if lie, harmed := tr.examine(b); lie != "" || harmed {
		t.Error(lie, harmed)
	}
	appendOne(t, b, "s1", "goes on")
	mustBeClean(t, b)
}

func TestAReaderBesideAWriterSeesNoDamage(t *testing.T) {
	f := new(faultfs.FS)
	opts := &Options{SegmentBytes: 8 << 10}
	w := mustOpenMem(t, f, opts)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 400 {
			if _, err := tryAppend(w, "s", strings.Repeat("x", i)); err != nil {
				t.Error(err)
			}
		}
	}()
	reading := &Options{}
	reading.ReadOnly = true
	reading.Startup.Full = true
	for last := 0; ; {
		select {
		case <-done:
			return
		default:
		}
		b, err := openMem(f, reading)
		if err != nil {
			t.Fatal(err)
		}
		got := mustContents(t, b)
		if len(got) < last {
			t.Fatalf("%d records, after %d", len(got), last)
		}
		last = len(got)
		b.Close()
	}
}

func TestADirectoryNeedsAName(t *testing.T) {
	if _, err := Open(context.Background(), "", nil); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
}
