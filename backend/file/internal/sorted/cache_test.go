package sorted

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
)

// counting counts reads.
type counting struct {
	*bytes.Reader
	reads atomic.Int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.reads.Add(1)
	return c.Reader.ReadAt(p, off)
}

func TestACachedLeafIsNotReadAgainAndACacheIsBounded(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, 7)
	for i := range 20_000 {
		if err := w.Add(fmt.Sprintf("name-%06d", i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r := &counting{Reader: bytes.NewReader(b.Bytes())}
	look := func(tab *Table, i int) {
		t.Helper()
		v, ok, err := tab.Get(fmt.Sprintf("name-%06d", i), nil)
		if err != nil || !ok || v[0] != byte(i) {
			t.Fatal(i, v, ok, err)
		}
	}
	c := NewCache(32)
	tables := []*Table{Open(r, 0, size, 7), Open(r, 0, size, 7)}
	for _, tab := range tables {
		tab.Keep(c)
		look(tab, 5)
		before := r.reads.Load()
		look(tab, 6)
		if n := r.reads.Load() - before; n != 0 {
			t.Errorf("%d reads for a leaf that was just used", n)
		}
	}
	for i := 0; i < 20_000; i += 7 {
		look(tables[i%2], i)
	}
	kept := 0
	for i := range c.shards {
		kept += len(c.shards[i].kept)
		if len(c.shards[i].kept) != len(c.shards[i].ring) {
			t.Error("the ring does not hold what is kept")
		}
	}
	if kept > 32 {
		t.Errorf("%d leaves are kept, want at most 32", kept)
	}
}
