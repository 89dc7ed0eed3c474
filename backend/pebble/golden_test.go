package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend"
)

// The golden store of format 1 is testdata/v1, and one of a format that is not there yet is
// testdata/future: PAPYRA_GOLDEN=1 go test writes them anew, which only a new format gives
// reason to.
const goldenName, futureName = "testdata/v1", "testdata/future"

// goldenBatches is what is in it.
func goldenBatches() (list []backend.Batch) {
	meta, _ := backend.MakeMeta("trace", "0af7")
	for i := range 12 {
		b := backend.Batch{Stream: fmt.Sprintf("account/%d", i%3), Expected: backend.Any, Epoch: uint64(i % 2 * (i / 11))}
		for j := range 1 + i%2 {
			b.Records = append(b.Records, backend.Record{Type: "deposited", Schema: 2, Time: time.Unix(1_800_000_000, int64(i*100+j)).UTC(), Payload: fmt.Appendf(nil, "payload %d/%d", i, j), Meta: meta})
		}
		list = append(list, b)
	}
	return append(list, backend.Batch{Stream: "$sys/bank/audit", Expected: backend.Any, Records: []backend.Record{{Time: time.Unix(1_800_000_001, 0).UTC(), Payload: []byte("audit")}}})
}

func TestTheGoldenStoreOfFormat1IsReadForEver(t *testing.T) {
	if os.Getenv("PAPYRA_GOLDEN") != "" {
		writeGolden(t)
	}
	dir := golden(t, goldenName)
	for _, readOnly := range []bool{true, false} {
		b, err := Open(t.Context(), dir, &Options{Options: backend.Options{ReadOnly: readOnly, Startup: backend.Startup{Full: true}}})
		if err != nil {
			t.Fatal(err)
		}
		position := backend.Position(0)
		versions := map[string]backend.Version{}
		var want []backend.Record
		for _, batch := range goldenBatches() {
			for _, r := range batch.Records {
				versions[batch.Stream]++
				r.Stream, r.Version, r.Position = batch.Stream, versions[batch.Stream], 0
				want = append(want, r)
			}
		}
		i := 0
		for r, err := range b.Read(t.Context(), backend.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if i == len(want) {
				t.Fatal("there is more than was written")
			}
			w := &want[i]
			if r.Stream != w.Stream || r.Version != w.Version || r.Position <= position || !bytes.Equal(r.Payload, w.Payload) || !r.Time.Equal(w.Time) || r.Type != w.Type || !bytes.Equal(r.Meta, w.Meta) {
				t.Errorf("record %d: %+v, want %+v", i, r, w)
			}
			position = r.Position
			i++
		}
		if i != len(want) {
			t.Errorf("%d records of %d", i, len(want))
		}
		if snap, err := b.Snapshot(t.Context(), "account/0", 0); err != nil || string(snap.Payload) != "state" || snap.Version != 2 {
			t.Errorf("snapshot: %+v, %v", snap, err)
		}
		if !readOnly {
			if res, err := b.Append(t.Context(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{Payload: []byte("x")}}}); err != nil || res.Position <= position {
				t.Errorf("append: %+v, %v", res, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A store that a newer version wrote is refused, and not changed by a byte.
func TestANewerFormatIsRefusedAndLeftUntouched(t *testing.T) {
	for what, change := range map[string]func(t *testing.T, dir string){
		"a newer papyra": func(t *testing.T, dir string) {},
		"a newer identity, and no STORE": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, storeName)); err != nil {
				t.Fatal(err)
			}
		},
		"a newer pebble": func(t *testing.T, dir string) {
			old, err := filepath.Glob(filepath.Join(dir, dbName, "marker.format-version.*"))
			if err != nil || len(old) != 1 {
				t.Fatal(old, err)
			}
			name := filepath.Join(dir, dbName, fmt.Sprintf("marker.format-version.000099.%03d", int(formatVersion)+1))
			if err := errors.Join(os.Rename(old[0], name), os.WriteFile(filepath.Join(dir, storeName), []byte(storeText), 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := golden(t, futureName)
			change(t, dir)
			before := content(t, dir)
			for _, readOnly := range []bool{true, false} {
				_, err := Open(t.Context(), dir, &Options{Options: backend.Options{ReadOnly: readOnly}})
				if !errors.Is(err, backend.ErrFormat) {
					t.Errorf("read-only %v: %v", readOnly, err)
				}
			}
			if after := content(t, dir); !bytes.Equal(before, after) {
				t.Error("a file has changed")
			}
		})
	}
}

// content is what is in a directory, but for who holds it.
func content(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockName {
			return err
		}
		b, err := os.ReadFile(name)
		all = fmt.Appendf(all, "%s %d\n", name, len(b))
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// golden is a copy of a golden store.
func golden(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	if err := errors.Join(os.CopyFS(dir, os.DirFS(name)), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeGolden(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(goldenName), os.RemoveAll(futureName), os.MkdirAll("testdata", 0o755)); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), goldenName, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, batch := range goldenBatches() {
		if i == 8 { // what comes before is in a table, and what follows in a log
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			flushAtClose = false
			defer func() { flushAtClose = true }()
			if b, err = Open(t.Context(), goldenName, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "account/0", Version: 2, Time: time.Unix(1_800_000_002, 0), Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), os.Remove(filepath.Join(goldenName, lockName)), os.CopyFS(futureName, os.DirFS(goldenName))); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(filepath.Join(futureName, dbName), &pebble.Options{FormatMajorVersion: formatVersion, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	id := append([]byte("papyrakv\x00\x00\x00\x02"), "what a newer version says of itself"...)
	sum := crc32.Checksum(id, castagnoli)
	id = append(id, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	err = errors.Join(db.Set([]byte{tableMeta, 'i'}, id, pebble.Sync), db.Set([]byte{tableNames}, id, pebble.Sync), db.Flush(), db.Close(),
		os.Remove(filepath.Join(futureName, sealName)), os.RemoveAll(filepath.Join(futureName, dbName, "LOCK")),
		os.WriteFile(filepath.Join(futureName, storeName), []byte("papyra store on pebble, format 2\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}
