package bolt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
)

// The golden store of format 1 is testdata/v1.db.gz: PAPYRA_GOLDEN=1 go test writes it anew, which
// only a new format gives reason to.
const goldenName = "testdata/v1.db.gz"

func TestTheGoldenStoreOfFormat1IsReadForEver(t *testing.T) {
	if os.Getenv("PAPYRA_GOLDEN") != "" {
		writeGolden(t)
	}
	kvtest.ReadsGolden(t, Tested, golden(t))
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
			kvtest.RefusesNewer(t, Tested, dir)
		})
	}
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
	for _, batch := range kvtest.GoldenBatches() {
		if _, err := b.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	kvtest.SaveGoldenState(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err = z.Write(file)
	if err := errors.Join(err, z.Close(), os.MkdirAll("testdata", 0o755), os.WriteFile(goldenName, out.Bytes(), 0o644)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}
