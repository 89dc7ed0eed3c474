package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
)

// GoldenBatches is what is in the golden stores of format 1.
func GoldenBatches() (list []backend.Batch) {
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

// SaveGoldenState saves the snapshot that is in the golden stores.
func SaveGoldenState(t testing.TB, b *backend.Backend) {
	t.Helper()
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "account/0", Version: 2, Time: time.Unix(1_800_000_002, 0), Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
}

// ReadsGolden looks that a copy of a golden store holds what was written, when it is opened to be
// read and to be written, and goes on.
func ReadsGolden(t *testing.T, e enginetest.Engine, dir string) {
	for _, readOnly := range []bool{true, false} {
		b, err := e.Open(t.Context(), dir, &backend.Options{ReadOnly: readOnly, Startup: backend.Startup{Full: true}})
		if err != nil {
			t.Fatal(err)
		}
		position := readsGolden(t, b)
		if snap, err := b.Snapshot(t.Context(), "account/0", 0); err != nil || string(snap.Payload) != "state" || snap.Version != 2 {
			t.Errorf("snapshot: %+v, %v", snap, err)
		}
		if !readOnly {
			if res, err := b.Append(t.Context(), enginetest.Record(3)); err != nil || res.Position <= position {
				t.Errorf("append: %+v, %v", res, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// readsGolden compares all records, and returns the last position.
func readsGolden(t *testing.T, b *backend.Backend) (position backend.Position) {
	t.Helper()
	versions := map[string]backend.Version{}
	var want []backend.Record
	for _, batch := range GoldenBatches() {
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
	return position
}

// RefusesNewer looks that a store that a newer version wrote is refused, and not changed by a
// byte.
func RefusesNewer(t *testing.T, e enginetest.Engine, dir string) {
	before := content(t, dir)
	for _, readOnly := range []bool{true, false} {
		if _, err := e.Open(t.Context(), dir, &backend.Options{ReadOnly: readOnly}); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
	if after := content(t, dir); !bytes.Equal(before, after) {
		t.Error("a file has changed")
	}
}

// content is what is in a directory, but for who holds it.
func content(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "LOCK" {
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
