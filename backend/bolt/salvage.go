package bolt

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// salvaged is what can be read of a damaged file without bbolt: a kv.Snapshot. It keeps all
// keys in memory, and where their values are.
type salvaged struct {
	file     *os.File
	findings []backend.Anomaly
	entries  []entry
	judge    *kv.Judge
	complete bool // all records that the store has are among the entries
}

// entry is a key, and where its value is in the file.
type entry struct {
	key string
	at  int64
	n   int
	odd bool // something was wrong with its page
}

// salvage reads what can be read of a tree that was checked. Where a page is lost, what it
// led to is looked for on all other pages: a record counts if the store knows its position.
func salvage(t *tree) (*salvaged, error) {
	s := &salvaged{file: t.file, findings: t.findings}
	if err := s.findJudge(t); err != nil {
		return nil, err
	}
	var moved []entry
	again := t.again()
	again.each = func(bucket, key, value []byte, at int64, odd bool) error {
		table, ok := tableOf(bucket)
		if !ok {
			return nil
		}
		e := entry{string(key), at, len(value), odd}
		if odd || key[0] != table {
			home, sound := s.home(key, value)
			if sound && (key[0] != table || !bytes.Equal(home, key)) { // a branch has led elsewhere
				e.key = string(home)
				moved = append(moved, e)
				return nil
			}
			if key[0] != table {
				return nil
			}
		}
		s.entries = append(s.entries, e)
		return nil
	}
	if err := again.root(); err != nil {
		return nil, err
	}
	s.sort()
	s.add(moved)
	if s.judge == nil {
		return s, nil
	}
	orphans, err := s.orphans(again)
	if err != nil {
		return nil, err
	}
	s.add(orphans)
	s.dropHeads()
	streams, names := t.hit[string(buckets[tableStreams])], t.hit[string(buckets[tableNames])]
	s.complete = s.count() && !t.hit[rootBucket] && !(streams && names) // who has no records has but a head and a name
	for i := range s.findings {
		s.findings[i].Mendable = s.complete && s.findings[i].Severity == backend.Damage
	}
	return s, nil
}

func tableOf(bucket []byte) (byte, bool) {
	for table, name := range buckets {
		if bytes.Equal(name, bucket) {
			return table, true
		}
	}
	return 0, false
}

// findJudge looks for what the store says it is.
func (s *salvaged) findJudge(t *tree) error {
	found := map[string][]byte{}
	again := t.again()
	again.each = func(_, key, value []byte, _ int64, _ bool) error {
		if len(key) <= 2 {
			found[string(key)] = bytes.Clone(value)
		}
		return nil
	}
	if err := again.root(); err != nil {
		return err
	}
	s.judge, _ = kv.NewJudge(func(key []byte) []byte { return found[string(key)] })
	return nil
}

func (s *salvaged) home(key, value []byte) ([]byte, bool) {
	if s.judge == nil {
		return nil, false
	}
	return s.judge.Home(key, value)
}

// sort puts the entries in order. Of those with the same key the one that is sound stays.
func (s *salvaged) sort() {
	slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	out := s.entries[:0]
	for _, e := range s.entries {
		if n := len(out); n > 0 && out[n-1].key == e.key {
			value, _ := s.value(e, nil)
			if home, sound := s.home([]byte(e.key), value); sound && string(home) == e.key {
				out[n-1] = e
			}
			continue
		}
		out = append(out, e)
	}
	s.entries = out
}

// add adds entries whose keys are not there yet, or not with a sound value.
func (s *salvaged) add(list []entry) {
	for _, e := range list {
		at, there := s.find([]byte(e.key))
		if !there {
			s.entries = slices.Insert(s.entries, at, e)
			continue
		}
		value, _ := s.value(s.entries[at], nil)
		if home, sound := s.home([]byte(e.key), value); !sound || string(home) != e.key {
			s.entries[at] = e
		}
	}
}

// orphans returns the records on pages that nothing leads to, which the store knows.
func (s *salvaged) orphans(t *tree) (list []entry, err error) {
	size := t.meta.pageSize
	header := make([]byte, pageHeader)
	for id := uint64(2); id < t.pages(); id++ {
		if visited(t.used, id) {
			continue
		}
		if _, err := t.file.ReadAt(header, int64(id)*size); err != nil {
			continue
		}
		h := parseHeader(header)
		if h.flags != flagLeaf || uint64(h.overflow) >= t.pages()-id {
			continue
		}
		b := make([]byte, int64(1+h.overflow)*size)
		if n, err := t.file.ReadAt(b, int64(id)*size); err != nil {
			b = b[:max(n, pageHeader)]
		}
		elems, _ := elements(b, h)
		for i := range elems {
			e := &elems[i]
			home, sound := s.home(e.key, e.value)
			if !sound || home[0] != tableStreams || !s.judge.Stored(home, e.value, s.get) {
				continue
			}
			list = append(list, entry{key: string(home), at: int64(id)*size + int64(e.at), n: len(e.value)})
		}
	}
	return list, nil
}

// dropHeads gives up heads that are those of an older state: the recovery makes them anew.
func (s *salvaged) dropHeads() {
	var value []byte
	heads := s.judge.Behind(func(f func(key, value []byte)) {
		for _, e := range s.entries {
			if key := []byte(e.key); len(key) > 0 && (key[0] == tableStreams || key[0] == tablePlaces) {
				value, _ = s.value(e, value[:0])
				f(key, value)
			}
		}
	})
	for _, key := range heads {
		if at, there := s.find(key); there {
			s.entries = slices.Delete(s.entries, at, at+1)
		}
	}
}

func (s *salvaged) get(key []byte) []byte {
	value, _, _ := s.Get(key, nil)
	return value
}

// count reports whether as many sound records are there as the store says that it has.
func (s *salvaged) count() (complete bool) {
	records := uint64(0)
	var value []byte
	for _, e := range s.entries {
		if key := []byte(e.key); s.judge.Record(key) {
			value, _ = s.value(e, value[:0])
			if home, sound := s.judge.Home(key, value); sound && string(home) == e.key && !s.judge.Lost(value) {
				records++
			}
		}
	}
	return s.judge.Complete(records, s.get)
}

func (s *salvaged) find(key []byte) (at int, there bool) { return s.list().Find(key) }

// list is what was salvaged, as a kv.Snapshot.
func (s *salvaged) list() kv.Listed {
	return kv.Listed{
		Len:   len(s.entries),
		Key:   func(i int) string { return s.entries[i].key },
		Value: func(i int, dst []byte) ([]byte, error) { return s.value(s.entries[i], dst) },
	}
}

func (s *salvaged) value(e entry, dst []byte) ([]byte, error) {
	from := len(dst)
	dst = append(dst, make([]byte, e.n)...)
	if _, err := s.file.ReadAt(dst[from:], e.at); err != nil {
		return dst[:from], unreadable(e.at, err)
	}
	return dst, nil
}

// refusal is why nothing is written to a damaged file.
func (s *salvaged) refusal() error {
	return fmt.Errorf("%w: %w: %s is damaged (%s): nothing is written to it until it is recovered", backend.ErrPoisoned, backend.ErrCorrupt, fileName, s.findings[0].Detail)
}

// Lossy says that records are missing: with those of a stream all that tells of it may be.
func (s *salvaged) Lossy() bool { return !s.complete }

func (s *salvaged) Get(key, dst []byte) (value []byte, found bool, err error) {
	return s.list().Get(key, dst)
}

// Locate tells where a value is in the file.
func (s *salvaged) Locate(key []byte) (off, n int64, ok bool) {
	at, there := s.find(key)
	if !there {
		return 0, 0, false
	}
	return s.entries[at].at, int64(s.entries[at].n), true
}

func (s *salvaged) Cursor(low, high []byte) kv.Cursor { return s.list().Cursor(low, high) }
