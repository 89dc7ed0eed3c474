package bolt

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
)

var (
	second      = []byte("es\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02")
	secondPlace = []byte("p\x00\x00\x00\x00\x00\x00\x00\x02")
)

// fiveRecords is a closed store.
func fiveRecords(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	b, err := Tested.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func recoverAll(t *testing.T, dir string, mode backend.RecoveryMode) {
	t.Helper()
	b, err := Tested.Open(t.Context(), dir, &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: mode}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// takesRecords opens a store, and appends.
func takesRecords(t *testing.T, dir string) {
	t.Helper()
	b, err := Tested.Open(t.Context(), dir, &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Errorf("an append: %v", err)
	}
}

// A record that is given up together with its place is not missed at each opening.
func TestAStoreWithoutARecordAndItsPlaceOpensAgain(t *testing.T) {
	dir := fiveRecords(t)
	change(t, dir, func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(buckets[tableStreams]).Delete(second), tx.Bucket(buckets[tablePlaces]).Delete(secondPlace))
	})
	recoverAll(t, dir, backend.Quarantine)
	takesRecords(t, dir)
}
