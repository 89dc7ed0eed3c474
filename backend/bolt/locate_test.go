package bolt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// Where a value is said to be, it is: in pages of a bucket's own, and in the root's.
func TestAValueIsWhereItIsSaidToBe(t *testing.T) {
	for _, records := range []int{1, 300} {
		dir := filepath.Join(t.TempDir(), "store")
		b, err := Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			if _, err := b.Append(t.Context(), backend.Batch{Stream: fmt.Sprint("s", i), Expected: backend.Any, Records: []backend.Record{{Payload: make([]byte, 50)}}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		e, err := openEngine(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		looked := 0
		err = e.View(func(s kv.Snapshot) error {
			for table := range buckets {
				c := s.Cursor([]byte{table}, []byte{table + 1})
				for ok := c.Seek([]byte{table}); ok; ok = c.Next() {
					want, err := c.Value(nil)
					if err != nil {
						return err
					}
					off, n, ok := s.(kv.Locator).Locate(c.Key())
					if !ok || n != int64(len(want)) || !bytes.Equal(file[off:off+n], want) {
						t.Errorf("%d records: the value of %q is said to be at %d, %d bytes, %v", records, c.Key(), off, n, ok)
					}
					looked++
				}
			}
			return nil
		})
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || looked < 3*records {
			t.Errorf("%d values, %v", looked, err)
		}
	}
}
