package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
)

// The golden store of format 1 is testdata/v1, and one of a format that is not there yet is
// testdata/future: PAPYRA_GOLDEN=1 go test writes them anew, which only a new format gives
// reason to.
const goldenName, futureName = "testdata/v1", "testdata/future"

func TestTheGoldenStoreOfFormat1IsReadForEver(t *testing.T) {
	if os.Getenv("PAPYRA_GOLDEN") != "" {
		writeGolden(t)
	}
	kvtest.ReadsGolden(t, Tested, golden(t, goldenName))
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
			kvtest.RefusesNewer(t, Tested, dir)
		})
	}
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
	for i, batch := range kvtest.GoldenBatches() {
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
	kvtest.SaveGoldenState(t, b)
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
