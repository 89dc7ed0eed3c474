package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

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

func TestAnyFlippedBitIsNoticedAndLosesOneRecordAtMost(t *testing.T) {
	rotten(t, "a flipped bit", kvtest.Times(300, 20_000), 8, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at, bit := rng.IntN(len(b)), rng.IntN(8)
		b[at] ^= 1 << bit
		return b, fmt.Sprintf("page %d byte %d (offset %d) bit %d", at>>10, at&1023, at, bit)
	})
}

// The first bytes of pages are their headers and elements: what leads to all others.
func TestAnyFlippedBitOfAPagesHeaderIsNoticed(t *testing.T) {
	rotten(t, "a flipped bit of a header", kvtest.Times(300, 10_000), 30, func(rng *rand.Rand, b []byte) ([]byte, string) {
		page, at, bit := rng.IntN(len(b)>>10), rng.IntN(48), rng.IntN(8)
		b[page<<10+at] ^= 1 << bit
		return b, fmt.Sprintf("page %d byte %d bit %d", page, at, bit)
	})
}

func TestALostSectorIsNoticed(t *testing.T) {
	rotten(t, "a lost sector of 512 bytes", kvtest.Times(100, 2_000), 100, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at := rng.IntN(len(b)>>9) << 9
		clear(b[at : at+512])
		return b, fmt.Sprintf("offset %d", at)
	})
}

func TestACutFileIsNoticed(t *testing.T) {
	rotten(t, "a cut file", kvtest.Times(40, 1_000), 1000, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at := rng.IntN(len(b))
		return b[:at], fmt.Sprintf("cut at %d", at)
	})
}

func TestASwappedPageIsNoticed(t *testing.T) {
	rotten(t, "two pages swapped", kvtest.Times(60, 1_000), 1000, func(rng *rand.Rand, b []byte) ([]byte, string) {
		x, y := rng.IntN(len(b)>>10)<<10, rng.IntN(len(b)>>10)<<10
		page := bytes.Clone(b[x : x+1024])
		copy(b[x:x+1024], b[y:y+1024])
		copy(b[y:y+1024], page)
		return b, fmt.Sprintf("offsets %d and %d", x, y)
	})
}

// A meta page that has changed places with the newest root hides neither.
func TestARootInThePlaceOfAMetaPageIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	tr := kvtest.MakeStore(t, opener(dir, small))
	healthy, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	metas, err := readMetas(f)
	if err != nil {
		t.Fatal(err)
	}
	c := kvtest.Counts{Much: true}
	for page := range 2 {
		b, at := bytes.Clone(healthy), int(newestMeta(metas).root)<<10
		copy(b[page<<10:], healthy[at:at+1024])
		copy(b[at:], healthy[page<<10:page<<10+1024])
		place := filepath.Join(t.TempDir(), "store")
		if err := errors.Join(os.Mkdir(place, 0o700), os.WriteFile(filepath.Join(place, fileName), b, 0o600)); err != nil {
			t.Fatal(err)
		}
		c.Judge(t, fmt.Sprintf("meta page %d", page), opener(place, small), tr, 0)
	}
}

// One wrong bit of a branch makes it lead to another page: of another bucket, of another place, or
// to an older state of the one that it led to, which is as sound as that is.
func TestABranchThatLeadsElsewhereIsNoticed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	tr := kvtest.MakeStore(t, opener(dir, small))
	healthy, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	every := machine.Rounds(8, 3, 1)
	var c kvtest.Counts
	for page := range len(healthy) / small.PageBytes {
		h := parseHeader(healthy[page*small.PageBytes:])
		if h.flags != flagBranch || h.id != uint64(page) {
			continue
		}
		for child := range h.count {
			for bit := range 6 { // there are 64 pages
				if rng.IntN(every) > 0 {
					continue
				}
				damaged, at := bytes.Clone(healthy), page*small.PageBytes+pageHeader+child*elementSize+8
				damaged[at] ^= 1 << bit
				place := filepath.Join(t.TempDir(), "store")
				if err := errors.Join(os.Mkdir(place, 0o700), os.WriteFile(filepath.Join(place, fileName), damaged, 0o600)); err != nil {
					t.Fatal(err)
				}
				c.Judge(t, fmt.Sprintf("page %d: child %d: %d instead of %d", page, child, damaged[at], healthy[at]), opener(place, small), tr, 30)
				if t.Failed() {
					return
				}
				os.RemoveAll(place)
			}
		}
	}
	c.Log(t, "bolt, a branch that leads elsewhere")
}
