package sorted

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// A counter counts reads of leaves and of index blocks, and those of more than a block.
type counter struct {
	section     []byte
	leaf, index int
	most        int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	if c.section[off+4] == 0 {
		c.leaf++
	} else {
		c.index++
	}
	c.most = max(c.most, len(p))
	return copy(p, c.section[off:]), nil
}

func TestALookupReadsOneLeafAndIndexBlocksOnce(t *testing.T) {
	entries := fixed(20000, 300, 8)
	section := build(t, entries, testSeed)
	names := slices.Sorted(maps.Keys(entries))
	leaves, blocks := 0, len(section)/BlockSize
	for n := range blocks {
		if section[n*BlockSize+4] == 0 {
			leaves++
		}
	}
	c := &counter{section: section}
	table := Open(c, 0, int64(len(section)), testSeed)
	for _, name := range names {
		wantValue(t, table.Get, name, entries)
	}
	if c.leaf != len(names) || c.index != blocks-leaves || c.most != BlockSize {
		t.Errorf("Get read %d leaves and %d index blocks, up to %d bytes, want %d and %d, %d", c.leaf, c.index, c.most, len(names), blocks-leaves, BlockSize)
	}
	c.leaf, c.index = 0, 0
	cursor := table.NewCursor()
	for _, name := range names {
		wantValue(t, cursor.Get, name, entries)
	}
	if c.leaf != leaves || c.index != 0 {
		t.Errorf("a cursor read %d leaves and %d index blocks, want %d and 0", c.leaf, c.index, leaves)
	}
	c.leaf, c.index = 0, 0
	wantList(t, table, "", names, entries)
	if reads := c.leaf + c.index; reads > blocks/(readMost/BlockSize)+6 || c.most != readMost {
		t.Errorf("listing %d blocks took %d reads of up to %d bytes", blocks, reads, c.most)
	}
}

func TestATableIsSafeForConcurrentUse(t *testing.T) {
	entries := fixed(20000, 60, 8)
	table := open(build(t, entries, testSeed))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := g; i < 20000; i += 7 {
				name := fmt.Sprintf("%060d", i)
				if v, ok, err := table.Get(name, nil); err != nil || !ok || string(v) != entries[name] {
					t.Errorf("%s: %q, %t, %v", name, v, ok, err)
					return
				}
			}
			if it := table.Seek("1"); it.Next() || it.Err() != nil {
				t.Errorf("Next: %q, %v", it.Name(), it.Err())
			}
		})
	}
	wg.Wait()
}

// bigName is the i-th name of a large table, 45 bytes.
func bigName(i int) string { return fmt.Sprintf("account/%08x/region-eu-west/ledger-%09d", i/1000, i) }

// big writes n entries to a file, each with a value of 24 bytes.
func big(t testing.TB, n int) *Table {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "table"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := NewWriter(f, testSeed)
	for i := range n {
		if err := w.Add(bigName(i), make([]byte, 24)); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return Open(f, 0, size, testSeed)
}

func TestGetAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops what is put back when races are looked for")
	}
	const n = 20000
	table := big(t, n)
	cursor := table.NewCursor()
	value := make([]byte, 0, MaxValue)
	names := make([]string, 0, n)
	for i := range n {
		names = append(names, bigName(i))
		table.Get(names[i], value)
	}
	i := 0
	if allocs := testing.AllocsPerRun(5000, func() {
		i = (i + 7919) % n
		_, a, _ := table.Get(names[i], value)
		_, b, _ := cursor.Get(names[i], value)
		_, c, _ := table.Get("no such name", value)
		if !a || !b || c {
			t.Fatal("a wrong answer")
		}
	}); allocs != 0 {
		t.Errorf("three lookups allocate %v times", allocs)
	}
}

func BenchmarkGet(b *testing.B) {
	const n = 1_000_000
	table := big(b, n)
	names := make([]string, n)
	for i, from := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		names[i] = bigName(from)
	}
	value := make([]byte, 0, MaxValue)
	ascending := slices.Sorted(slices.Values(names))
	run := func(name string, get func(string, []byte) ([]byte, bool, error), names []string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok, err := get(names[i%n], value); !ok || err != nil {
					b.Fatal(ok, err)
				}
				i++
			}
		})
	}
	run("random", table.Get, names)
	b.Run("random-bare-read", func(b *testing.B) { // what Get costs at least
		p, r := make([]byte, BlockSize), rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			table.r.ReadAt(p, r.Int64N(table.blocks)*BlockSize)
		}
	})
	run("ascending", table.Get, ascending)
	run("ascending-cursor", table.NewCursor().Get, ascending)
	b.Run("random-parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			value := make([]byte, 0, MaxValue)
			for i := rand.IntN(n); pb.Next(); i++ {
				if _, ok, err := table.Get(names[i%n], value); !ok || err != nil {
					b.Error(ok, err)
				}
			}
		})
	})
	b.Run("iterate", func(b *testing.B) {
		it := table.Seek("")
		for b.Loop() {
			if !it.Next() {
				it = table.Seek("")
			}
		}
	})
}
