package bolt

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
)

// A head that an older page has brought back does not hide what was appended since: the stream
// says that it is damaged, and a quarantine makes the head anew.
func TestAHeadBehindItsStreamIsGivenUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	ignoring := &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}}
	b, err := Tested.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	head, old := []byte("es\x00\x03"), []byte(nil)
	for i := range 5 {
		if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			old = headOf(t, dir, head, &b)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	change(t, dir, func(tx *bbolt.Tx) error { // and a record is missing, which the opening notices
		streams := tx.Bucket(buckets[tableStreams])
		return errors.Join(streams.Put(head, old), streams.Delete([]byte("es\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02")))
	})
	b, err = Tested.Open(t.Context(), dir, ignoring)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if h, err := b.Head(t.Context(), "s"); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("head: %+v, %v", h, err)
	}
	if _, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine}); err != nil {
		t.Fatal(err)
	}
	enginetest.Clean(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = Tested.Open(t.Context(), dir, nil); err != nil { // what was given up is not missed again
		t.Fatal(err)
	}
	defer b.Close()
	enginetest.Clean(t, b)
	if h, err := b.Head(t.Context(), "s"); err != nil || h.Version != 5 {
		t.Errorf("head: %+v, %v", h, err)
	}
}

// headOf closes a store, reads the value of a key, and opens the store again.
func headOf(t *testing.T, dir string, key []byte, b **backend.Backend) (value []byte) {
	t.Helper()
	if err := (*b).Close(); err != nil {
		t.Fatal(err)
	}
	change(t, dir, func(tx *bbolt.Tx) error {
		value = append(value, tx.Bucket(buckets[tableStreams]).Get(key)...)
		return nil
	})
	if len(value) == 0 {
		t.Fatal(fmt.Errorf("there is no %q", key))
	}
	var err error
	if *b, err = Tested.Open(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	return value
}

// change changes a store's file by bbolt alone, and signs the root as engine.Write does.
func change(t *testing.T, dir string, f func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(f(tx), tx.Bucket(buckets[tableMeta]).SetSequence(uint64(tx.ID())))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
