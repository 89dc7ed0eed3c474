package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
)

// small are options with which a store of a few records has tables of many blocks.
var small = Options{MemTableBytes: 256 << 10, BlockBytes: 256, CacheBytes: 1 << 20, FreeBytes: 1 << 20}

func opener(d *MemDisk, o Options) kvtest.Opener {
	return func(ctx context.Context, opts *backend.Options) (*backend.Backend, error) {
		own := o
		if opts != nil {
			own.Options = *opts
		}
		return OpenOn(ctx, d, own)
	}
}

// kept reports whether rot in a file is of interest: what is not looked at can't matter.
func kept(name string) bool {
	return !strings.HasPrefix(path.Base(name), "OPTIONS-") && path.Base(name) != lockName
}

// written is what a file holds but for the zeros that were laid ahead.
func written(d *MemDisk, name string) []byte { return bytes.TrimRight(d.Content(name), "\x00") }

// rotten makes a store, and then stores in which rot has changed a file, each of which is
// judged: one whose records are in tables, one whose records are in a log, and, if crashed is
// set, one of those that was not closed.
func rotten(t *testing.T, what string, cases, most int, crashed bool, rot func(rng *rand.Rand, b []byte) ([]byte, string)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 8))
	logged := NewMemDisk(t.TempDir())
	flushAtClose = false
	tr := kvtest.MakeStore(t, opener(logged, small))
	flushAtClose = true
	tabled := logged.Crash(100, rng)
	b, err := OpenOn(t.Context(), tabled, small) // what is in the log goes to a table
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	stores := []*MemDisk{logged, tabled}
	if crashed {
		open := logged.Crash(100, rng)
		if err := open.Remove("/store/" + sealName); err != nil {
			t.Fatal(err)
		}
		if err := syncDir(open, "/store"); err != nil {
			t.Fatal(err)
		}
		stores = append(stores, open)
	}
	c := kvtest.Counts{Much: most >= 100}
	for i := range cases {
		d := stores[i%len(stores)].Crash(100, rng)
		d.Saves = t.TempDir()
		files := slices.DeleteFunc(d.Files(), func(name string) bool { return !kept(name) || len(written(d, name)) == 0 })
		total := 0
		for _, name := range files {
			total += len(written(d, name))
		}
		at := rng.IntN(total)
		for _, name := range files {
			content := written(d, name)
			if at >= len(content) {
				at -= len(content)
				continue
			}
			n, ahead := len(content), d.Content(name)[len(content):]
			damaged, where := rot(rng, content)
			if len(damaged) == n {
				damaged = append(damaged, ahead...)
			}
			if err := d.Put(name, damaged); err != nil {
				t.Fatal(err)
			}
			c.Judge(t, fmt.Sprintf("case %d: %s: %s", i, name, where), opener(d, small), tr, most)
			break
		}
		if t.Failed() {
			return
		}
		if err := d.Left(); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(d.Saves)
	}
	c.Log(t, "pebble, "+what)
}

func TestAnyFlippedBitIsNoticedAndLosesNothing(t *testing.T) {
	rotten(t, "a flipped bit", kvtest.Times(400, 20_000), 0, true, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at, bit := rng.IntN(len(b)), rng.IntN(8)
		b[at] ^= 1 << bit
		return b, fmt.Sprintf("offset %d bit %d", at, bit)
	})
}

func TestALostSectorIsNoticed(t *testing.T) {
	rotten(t, "a lost sector of 512 bytes", kvtest.Times(100, 3_000), 1000, false, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at := rng.IntN((len(b)+511)>>9) << 9
		clear(b[at:min(at+512, len(b))])
		return b, fmt.Sprintf("offset %d", at)
	})
}

func TestACutFileIsNoticed(t *testing.T) {
	rotten(t, "a cut file", kvtest.Times(60, 2_000), 1000, false, func(rng *rand.Rand, b []byte) ([]byte, string) {
		at := rng.IntN(len(b))
		return b[:at], fmt.Sprintf("cut at %d", at)
	})
}

// A log that is gone takes with it what is in no table yet, and pebble does not miss it.
func TestAMissingLogIsNoticed(t *testing.T) {
	d := NewMemDisk(t.TempDir())
	flushAtClose = false
	tr := kvtest.MakeStore(t, opener(d, small))
	flushAtClose = true
	c := kvtest.Counts{Much: true}
	for _, name := range d.Files() {
		if !isLog(name) || len(d.Content(name)) < 100 {
			continue
		}
		without := d.Crash(100, rand.New(rand.NewPCG(1, 2)))
		without.Saves = t.TempDir()
		if err := errors.Join(without.Remove(name), syncDir(without, path.Dir(name))); err != nil {
			t.Fatal(err)
		}
		c.Judge(t, name, opener(without, small), tr, 1000)
	}
	c.Log(t, "pebble, a missing log")
}

// Of a batch that was being written a disk may have later parts, and not earlier ones. Nothing says
// that they were synced: they are torn, and no damage. What comes before them is kept.
func TestATornBatchMayHaveAHole(t *testing.T) {
	d := NewMemDisk(t.TempDir())
	b, err := OpenOn(t.Context(), d, Options{FreeBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	log := ""
	for _, name := range d.Files() {
		if isLog(name) {
			log = max(log, name)
		}
	}
	from := len(bytes.TrimRight(d.Content(log), "\x00"))
	large := enginetest.Record(0)
	large.Records[0].Payload = bytes.Repeat([]byte("x"), 100_000)
	if _, err := b.Append(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	cut := d.Crash(100, rand.New(rand.NewPCG(1, 2)))
	cut.Saves = t.TempDir()
	content := cut.Content(log)
	clear(content[from+1000 : from+5000])
	if err := cut.Put(log, content); err != nil {
		t.Fatal(err)
	}
	after, err := OpenOn(t.Context(), cut, Options{FreeBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if n := enginetest.Count(t, after); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
	enginetest.Clean(t, after)
}
