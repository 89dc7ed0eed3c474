package bolt

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
)

// long is set for the sweeps of make crash.
var long = os.Getenv("PAPYRA_LONG") != ""

// small are pages so small that a store of a few records has branches.
var small = Options{PageBytes: 1 << 10}

func opener(dir string, o Options) kvtest.Opener {
	return func(ctx context.Context, opts *backend.Options) (*backend.Backend, error) {
		own := o
		if opts != nil {
			own.Options = *opts
		}
		return Open(ctx, dir, &own)
	}
}

// rotten makes a store, and then stores in which rot has changed the file, each of which
// is judged.
func rotten(t *testing.T, what string, cases, most int, rot func(rng *rand.Rand, b []byte) ([]byte, string)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	tr := kvtest.MakeStore(t, opener(dir, small))
	healthy, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	c := kvtest.Counts{Much: most >= 100}
	for i := range cases {
		damaged, where := rot(rng, bytes.Clone(healthy))
		place := filepath.Join(t.TempDir(), "store")
		if err := os.Mkdir(place, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, fileName), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		c.Judge(t, fmt.Sprintf("case %d: %s", i, where), opener(place, small), tr, most)
		if t.Failed() {
			return
		}
		os.RemoveAll(place)
	}
	c.Log(t, "bolt, "+what)
}

func times(short, more int) int {
	switch {
	case long:
		return more
	case testing.Short():
		return max(20, short/10)
	}
	return short
}

func TestAnyFlippedBitIsNoticedAndLosesOneRecordAtMost(t *testing.T) {
	rotten(t, "a flipped bit", times(300, 20_000), 8, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at, bit := rng.IntN(len(b)), rng.IntN(8)
		b[at] ^= 1 << bit
		return b, fmt.Sprintf("page %d byte %d (offset %d) bit %d", at>>10, at&1023, at, bit)
	})
}

// The first bytes of pages are their headers and elements: what leads to all others.
func TestAnyFlippedBitOfAPagesHeaderIsNoticed(t *testing.T) {
	rotten(t, "a flipped bit of a header", times(300, 10_000), 30, func(rng *rand.Rand, b []byte) ([]byte, string) {
		page, at, bit := rng.IntN(len(b)>>10), rng.IntN(48), rng.IntN(8)
		b[page<<10+at] ^= 1 << bit
		return b, fmt.Sprintf("page %d byte %d bit %d", page, at, bit)
	})
}

func TestALostSectorIsNoticed(t *testing.T) {
	rotten(t, "a lost sector of 512 bytes", times(100, 2_000), 100, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at := rng.IntN(len(b)>>9) << 9
		clear(b[at : at+512])
		return b, fmt.Sprintf("offset %d", at)
	})
}

func TestACutFileIsNoticed(t *testing.T) {
	rotten(t, "a cut file", times(40, 1_000), 1000, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at := rng.IntN(len(b))
		return b[:at], fmt.Sprintf("cut at %d", at)
	})
}

func TestASwappedPageIsNoticed(t *testing.T) {
	rotten(t, "two pages swapped", times(60, 1_000), 1000, func(rng *rand.Rand, b []byte) ([]byte, string) {
		x, y := rng.IntN(len(b)>>10)<<10, rng.IntN(len(b)>>10)<<10
		page := bytes.Clone(b[x : x+1024])
		copy(b[x:x+1024], b[y:y+1024])
		copy(b[y:y+1024], page)
		return b, fmt.Sprintf("offsets %d and %d", x, y)
	})
}
