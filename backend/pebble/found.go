package pebble

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// Salvage finds the record in a value, and all those in a table or a log that was saved whole.
func (directory) Salvage(dir string, s backend.Saved, data []byte, _ []backend.Anomaly) ([]backend.Salvaged, error) {
	j, err := placeOf(dir).findJudge()
	if err != nil {
		return nil, dbError("find out which store it is", err)
	}
	if s.Of == "value" {
		return j.SalvageValue(data), nil
	}
	f := finder{judge: j, seen: map[backend.Position]bool{}}
	if err := f.table(data); err != nil {
		return nil, dbError("read a table", err)
	}
	if err := f.log(data, uint32(s.ID)); err != nil {
		return nil, dbError("read a log", err)
	}
	f.anywhere(data)
	slices.SortStableFunc(f.list, func(a, b backend.Salvaged) int { return cmp.Compare(a.Offset, b.Offset) })
	return f.list, nil
}

// finder finds records in a whole file, of which it is not known whether it is a table, a log
// or neither: each reading takes only what is sound.
type finder struct {
	judge *kv.Judge
	seen  map[backend.Position]bool
	list  []backend.Salvaged
}

// add adds the record that a value is, which stands in n bytes from off on.
func (f *finder) add(value []byte, off, n int64) {
	r, ok := f.judge.Decode(value)
	if !ok || f.seen[r.Position] {
		return
	}
	f.seen[r.Position] = true
	r.Payload, r.Meta = bytes.Clone(r.Payload), bytes.Clone(r.Meta)
	f.list = append(f.list, backend.Salvaged{Offset: off, Length: n, Record: r, Timed: true})
}

// table takes the blocks of a table, which may be compressed.
func (f *finder) table(data []byte) error {
	mem := vfs.NewMem()
	file, err := mem.Create("table", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(bytes.Clone(data)) // which Write may change
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	t, err := openTable(mem, "", "table")
	if err != nil {
		return err
	}
	for _, h := range t.data {
		_, _ = t.rows(h, func(r *row) { f.add(r.value, int64(h.Offset), int64(h.Length)) })
	}
	return t.f.Close()
}

// log takes the batches of a log, whose parts may lie in several of its blocks.
func (f *finder) log(data []byte, number uint32) error {
	if number == 0 {
		return nil
	}
	c, err := readChunks(bytes.NewReader(data), int64(len(data)), number)
	if err != nil {
		return err
	}
	for i := range c.records {
		r := &c.records[i]
		g, _, _ := batchOf(r, 0)
		for _, e := range g.entries {
			f.add(e.value, r.at, int64(len(r.data)))
		}
	}
	return nil
}

// anywhere takes what stands in one piece, whatever stands around it.
func (f *finder) anywhere(data []byte) {
	f.judge.Search(data, func(_, value []byte) {
		f.add(value, int64(cap(data)-cap(value)), int64(len(value))) // value is a part of data
	})
}

// findJudge looks in the store's files for what it says it is, which is written once: in tables,
// whose first keys say it, else in logs. What is compacted meanwhile is looked for once more.
func (p place) findJudge() (j *kv.Judge, err error) {
	for range 2 {
		sizes, err := p.sizes()
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(sizes)) {
			var meta map[string][]byte
			switch {
			case isTable(name):
				meta, err = p.metaOfTable(name)
			case isLog(name):
				meta, err = p.metaOfLog(name, sizes[name])
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if j, ok := kv.NewJudge(func(key []byte) []byte { return meta[string(key)] }); ok {
				return j, nil
			}
		}
	}
	return nil, &backend.CorruptError{File: dbName, Offset: -1, Detail: "it does not say which store it is"}
}

// metaOfTable is what a table has of what the store says of itself.
func (p place) metaOfTable(name string) (meta map[string][]byte, err error) {
	t, err := openTable(p.fs, p.in(dbName), name)
	if err != nil {
		return nil, err
	}
	meta = map[string][]byte{}
	for _, h := range t.data {
		further := false
		_, err := t.rows(h, func(r *row) {
			if len(r.key) > 0 && r.key[0] == tableMeta {
				meta[string(r.key)] = bytes.Clone(r.value)
			} else {
				further = true
			}
		})
		if err == nil && further && !t.guess {
			break // the keys are in order
		}
	}
	return meta, t.f.Close()
}

// metaOfLog is the same of a log.
func (p place) metaOfLog(name string, size int64) (meta map[string][]byte, err error) {
	c, err := p.readLog(name, size)
	if err != nil {
		return nil, err
	}
	meta = map[string][]byte{}
	for i := range c.records {
		g, _, _ := batchOf(&c.records[i], 0)
		for _, e := range g.entries {
			if len(e.key) > 0 && e.key[0] == tableMeta {
				meta[e.key] = e.value
			}
		}
	}
	return meta, nil
}
