package bolt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// The golden store of format 1 is testdata/v1.db.gz: PAPYRA_GOLDEN=1 go test writes it anew, which
// only a new format gives reason to.
const goldenName = "testdata/v1.db.gz"

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
	dir := golden(t)
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
			if res, err := b.Append(t.Context(), record(3)); err != nil || res.Position <= position {
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
	for what, change := range map[string]func(*testing.T, string){
		"a newer identity": func(t *testing.T, name string) {
			if err := MakeNewer(name); err != nil {
				t.Fatal(err)
			}
		},
		"a newer bbolt": func(t *testing.T, name string) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			size := int(binaryUint32(b[pageHeader+8:]))
			for _, at := range []int{pageHeader, size + pageHeader} {
				b[at+4] = 3
				sumMeta(b[at:])
			}
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := golden(t)
			change(t, filepath.Join(dir, fileName))
			before := tree1(t, dir)
			for _, readOnly := range []bool{true, false} {
				_, err := Open(t.Context(), dir, &Options{Options: backend.Options{ReadOnly: readOnly}})
				if !errors.Is(err, backend.ErrFormat) {
					t.Errorf("read-only %v: %v", readOnly, err)
				}
			}
			if after := tree1(t, dir); !bytes.Equal(before, after) {
				t.Error("the file has changed")
			}
		})
	}
}

// tree1 is what is in the store's file.
func tree1(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t *testing.T) (dir string) {
	t.Helper()
	f, err := os.Open(goldenName)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "store")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, fileName), b, 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeGolden(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	b, err := Open(t.Context(), dir, &Options{PageBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range goldenBatches() {
		if _, err := b.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "account/0", Version: 2, Time: time.Unix(1_800_000_002, 0), Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err = z.Write(tree1(t, dir))
	if err := errors.Join(err, z.Close(), os.MkdirAll("testdata", 0o755), os.WriteFile(goldenName, out.Bytes(), 0o644)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}
