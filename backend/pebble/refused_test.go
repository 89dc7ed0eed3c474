package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
)

// A table that this process may not open, or has no descriptor for, is not given up: it may be sound.
func TestATableThatThisProcessMayNotOpenIsNotGivenUp(t *testing.T) {
	for _, cause := range []error{fs.ErrPermission, syscall.EMFILE} {
		t.Run(fmt.Sprint(cause), func(t *testing.T) {
			d := NewMemDisk(t.TempDir())
			o := small
			o.Startup.Mode = backend.IgnoreAnomalies
			const records = 20
			for range 2 { // two tables
				b, err := OpenOn(t.Context(), d, o)
				if err != nil {
					t.Fatal(err)
				}
				for range records {
					if _, err := b.Append(t.Context(), enginetest.Record(100)); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
			refuse := func(d *MemDisk, name string) (heal func()) {
				_, heal = d.Fail(&Fault{When: func(op Op) bool { return op.Kind == OpRead && strings.HasSuffix(op.Name, name) }, Err: cause})
				return heal
			}
			b, err := OpenOn(t.Context(), d, o)
			if err != nil {
				t.Fatal(err)
			}
			var tables []string
			for _, name := range d.Files() {
				if isTable(name) {
					tables = append(tables, name)
				}
			}
			if len(tables) < 2 {
				t.Fatalf("the tables are %v", tables)
			}
			heal := refuse(d, tables[len(tables)-1])
			if _, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine}); !errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("the recovery: %v", err)
			}
			heal()
			if n := enginetest.Count(t, b); n != 2*records {
				t.Errorf("%d records are left", n)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}

			d = d.Crash(100, rand.New(rand.NewPCG(1, 2)))
			for _, mask := range []byte{0xff, 0x7f} { // more than a bit
				if err := d.Flip(tables[0], 100+int64(mask)%2, mask); err != nil {
					t.Fatal(err)
				}
			}
			heal = refuse(d, tables[1])
			b, err = OpenOn(t.Context(), d, o)
			if err == nil {
				_, err = b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
				_ = b.Close()
			}
			if !errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("the recovery of a damaged store: %v", err)
			}
			heal()
			for _, name := range tables {
				if len(d.Content(name)) == 0 {
					t.Errorf("%s is gone", name)
				}
			}
		})
	}
}
