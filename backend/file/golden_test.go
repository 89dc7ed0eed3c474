package file

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/faultfs"
)

// write-golden makes testdata/v1 where there is none. A golden store is never changed:
// a new format version gets one of its own beside it.
var writeGolden = flag.Bool("write-golden", false, "write testdata/v1, if it does not exist")

// The stores that released versions wrote must open for ever. v1 was closed cleanly;
// v1-torn was not, and ends in a torn group.
func TestTheGoldenStoresOpen(t *testing.T) {
	if *writeGolden {
		makeGolden(t)
	}
	for _, name := range []string{"v1", "v1-torn"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".records"))
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		for _, readOnly := range []bool{true, false} {
			dir := filepath.Join(t.TempDir(), "store")
			copyTree(t, filepath.Join("testdata", name), dir)
			opts := &Options{}
			opts.ReadOnly = readOnly
			opts.Startup.Full = true
			s := openAt(t, dir, opts)
			if got := mustContents(t, s); !slices.Equal(got, want) {
				t.Errorf("%s: %d records\n%s\nwant %d\n%s", name, len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
			}
			if !readOnly {
				appendOne(t, s, "s1", "after a long time")
				mustBeClean(t, s)
				if torn := stat(t, s, "torn_bytes") > 0; torn != (name == "v1-torn") {
					t.Errorf("%s: torn: %v", name, torn)
				}
			}
		}
	}
}

func TestAFutureFormatIsRefusedUntouched(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	copyTree(t, filepath.Join("testdata", "future"), dir)
	before := hash(t, dir)
	for _, readOnly := range []bool{true, false} {
		opts := &Options{}
		opts.ReadOnly = readOnly
		if _, err := Open(context.Background(), dir, opts); !errors.Is(err, backend.ErrFormat) {
			t.Error(err)
		}
	}
	if hash(t, dir) != before {
		t.Error("touched")
	}
}

func makeGolden(t *testing.T) {
	if _, err := os.Stat("testdata/v1"); err == nil {
		t.Fatal("testdata/v1 is there, and stays as it is")
	}
	write := func(f *faultfs.FS, name string) {
		for _, file := range f.Names() {
			path := filepath.Join("testdata", name, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f.Bytes(file), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	records := func(lines []string, name string) {
		if err := os.WriteFile(filepath.Join("testdata", name+".records"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := new(faultfs.FS)
	tr := smallStore(t, f)
	write(f, "v1")
	records(tr.log, "v1")
	b := mustOpenMem(t, f, nil)
	appendOne(t, b, "s1", "acknowledged, not marked")
	records(mustContents(t, b), "v1-torn")
	torn := f.Clone()
	last := torn.Bytes(segmentName(4))
	end := (len(strings.TrimRight(string(last), "\x00")) + groupAlign - 1) / groupAlign * groupAlign
	copy(last[end:], "PG\x01\x00 the beginning of a group that never was")
	write(torn, "v1-torn")
	b.Close()
	f.Put(manifestName, []byte(strings.Replace(string(f.Bytes(manifestName)), "format 2", "format 3", 1)))
	write(f, "future")
}
