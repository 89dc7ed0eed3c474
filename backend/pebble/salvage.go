package pebble

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable/block"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// salvaged is what can be read of damaged files without pebble: a kv.Snapshot. It keeps all
// keys in memory, and where their values are.
type salvaged struct {
	findings []backend.Anomaly
	damaged  []string // files that something is wrong with
	tables   []*table
	entries  []entry
	judge    *kv.Judge
	complete bool // all records that the store has are among the entries

	groups []group // parts whose checksum is wrong
	lost   lost
	stood  []byte // where the store says that it stood, if that is outdated

	cache struct {
		sync.Mutex
		table int
		at    block.Handle
		rows  map[string]row // the rows of one block, each key's newest
	}
}

// entry is a key, and where its value is: in a block of a table, or, of what was in a log,
// here.
type entry struct {
	key     string
	seq     uint64
	deleted bool
	table   int // -1: value has it
	at      block.Handle
	value   []byte
}

// group is what a batch or a block of which a checksum is wrong seems to hold.
type group struct {
	entries   []entry // of a batch
	raw       []byte  // of a block
	low, high string  // of a block: its keys are between them; high "": there is no bound
}

// lost says which keys may have had a newer value that is lost.
type lost struct {
	before uint64  // those of logs and tables that were written before it
	tables bool    // all of tables
	ranges []group // those of tables between low and high
}

// live is what pebble says that it reads.
type live struct {
	tables []string
	logs   []string
	known  bool // pebble could say it; else all files are taken
}

// findLive asks pebble: the one that has the store open, or one that opens it for reading
// alone to that end.
func (e *engine) findLive(sizes map[string]int64, manifestSound bool) (l live) {
	all := slices.Sorted(maps.Keys(sizes))
	first := ""
	if e.db != nil {
		l.known = l.ask(e.db) == nil
		first = e.m.firstRead()
	}
	for _, hide := range []bool{false, true} {
		if !manifestSound || l.known {
			break
		}
		m := newMedium(e.at.fs)
		m.hideLogs = hide
		l.known = guard(func() error {
			o := e.settings(m, true)
			o.DisableConsistencyCheck = true
			db, err := pebble.Open(e.at.in(dbName), o)
			if err != nil {
				return err
			}
			return errors.Join(l.ask(db), db.Close())
		}) == nil
		first = cmp.Or(first, m.firstRead())
	}
	for _, name := range all {
		if isTable(name) && !l.known {
			l.tables = append(l.tables, name)
		}
		if isLog(name) && (!l.known || first != "" && number(name) >= number(first)) {
			l.logs = append(l.logs, name)
		}
	}
	return l
}

func (l *live) ask(db *pebble.DB) error {
	l.tables = nil
	levels, err := db.SSTables()
	for _, level := range levels {
		for _, t := range level {
			l.tables = append(l.tables, tableName(t.BackingSSTNum))
		}
	}
	slices.Sort(l.tables)
	return err
}

func tableName[N ~uint64](n N) string { return fmt.Sprintf("%06d.sst", uint64(n)) }

// number is that in the name of a log or a table.
func number(name string) uint64 {
	digits, _, _ := strings.Cut(name, ".")
	n, _ := strconv.ParseUint(digits, 10, 64)
	return n
}

// salvage reads what can be read of the store's files, of which findings are known already.
func (e *engine) salvage(findings []backend.Anomaly) (*salvaged, error) {
	s := &salvaged{}
	s.cache.table = -1
	sizes, err := e.at.sizes()
	if err != nil {
		return nil, err
	}
	manifestSound := true
	for _, a := range findings {
		manifestSound = manifestSound && !strings.HasPrefix(path.Base(a.File), "MANIFEST-") && !strings.HasPrefix(path.Base(a.File), "marker.")
		s.find(a)
	}
	l := e.findLive(sizes, manifestSound)
	for _, name := range l.tables {
		if err := s.addTable(e.at, name); err != nil {
			s.close()
			return nil, err
		}
	}
	sealed, err := e.at.readSeal()
	for i, name := range l.logs {
		if err == nil {
			err = s.addLog(e.at, name, sizes[name], i == len(l.logs)-1, sealed)
		}
		if err != nil {
			s.close()
			return nil, err
		}
	}
	for name := range sealed {
		if _, there := sizes[name]; isLog(name) && !there { // nobody knows what was in it
			s.lost.before = math.MaxUint64
		}
	}
	s.settle()
	return s, nil
}

// find adds a finding that is not there yet.
func (s *salvaged) find(a backend.Anomaly) {
	if !slices.Contains(s.findings, a) {
		s.findings = append(s.findings, a)
	}
	if !slices.Contains(s.damaged, a.File) {
		s.damaged = append(s.damaged, a.File)
	}
}

func (s *salvaged) addTable(at place, name string) error {
	t, err := openTable(at.fs, at.in(dbName), name)
	if errors.Is(err, fs.ErrNotExist) {
		s.lost.tables = true
		s.find(backend.Anomaly{Code: backend.MissingFile, Severity: backend.Damage, File: path.Join(dbName, name), Offset: -1, Detail: "the file is missing"})
		return nil
	}
	if refused(err) { // without it more would be given up than is lost
		return dbError("open a table", err)
	}
	if err != nil {
		s.lost.tables = true
		s.find(backend.Anomaly{Code: backend.Unreadable, Severity: backend.Damage, File: path.Join(dbName, name), Offset: -1, Detail: err.Error()})
		return nil
	}
	s.tables = append(s.tables, t)
	s.addBlocks(len(s.tables) - 1)
	return err
}

// addBlocks takes what is in a table's blocks.
func (s *salvaged) addBlocks(i int) {
	t := s.tables[i]
	_, _ = t.check(func(a backend.Anomaly) error {
		s.find(a)
		return nil
	})
	low, open := "", -1 // the last key that is sound, and the group behind it
	found, whole := uint64(0), false
	for _, h := range t.data {
		g := group{low: low}
		raw, err := t.rows(h, func(r *row) {
			g.entries = append(g.entries, entry{key: string(r.key), seq: r.seq, deleted: r.deleted, table: i, at: h})
		})
		if err == nil && len(g.entries) > 0 {
			if open >= 0 {
				s.groups[open].high, open = g.entries[0].key, -1
			}
			low = g.entries[len(g.entries)-1].key
			s.entries = append(s.entries, g.entries...)
			found += uint64(len(g.entries))
			whole = whole || found == t.keys // blocks of other kinds stand behind those of keys and values
			continue
		}
		if !t.guess { // else it is a block of another kind
			open = len(s.groups)
			s.groups = append(s.groups, group{low: low, raw: raw})
		}
	}
	s.lost.tables = s.lost.tables || t.guess && !whole // nothing leads to blocks that are not sound, or behind one
}

// addLog takes what is in a log. What its last write left may be torn, if it was not closed.
func (s *salvaged) addLog(at place, name string, size int64, newest bool, was seal) error {
	strict := !newest || was != nil
	c, err := at.readLog(name, size)
	if errors.Is(err, fs.ErrNotExist) { // it was there a moment ago
		s.find(backend.Anomaly{Code: backend.MissingFile, Severity: backend.Damage, File: path.Join(dbName, name), Offset: -1, Detail: "the file is missing"})
		return nil
	}
	if err != nil {
		return err
	}
	if was != nil && was[name] != size {
		s.lost.before = math.MaxUint64
	}
	if size == 0 {
		return nil // nothing was written to it
	}
	for _, a := range c.findings(name, strict) {
		s.find(a)
	}
	next, seen := uint64(0), int64(0) // the number that follows, and where the last record ended
	for _, r := range c.records {
		if r.doubt && !strict && r.last >= c.end {
			continue
		}
		g, first, whole := batchOf(&r, next)
		if next > 0 && first > next || next == 0 && len(c.bad) > 0 && c.bad[0].off < r.at {
			s.lost.before = max(s.lost.before, first)
		}
		next, seen = first+uint64(len(g.entries)), r.last
		if r.doubt || !whole {
			s.groups = append(s.groups, g)
		} else {
			s.entries = append(s.entries, g.entries...)
		}
		if !whole {
			s.lost.before = max(s.lost.before, next+1)
		}
	}
	if strict && !c.closed && !c.endsIn(leastRecord) {
		s.lost.before = math.MaxUint64
	}
	for _, x := range c.bad {
		if strict && x.off > seen && x.n >= leastRecord {
			s.lost.before = math.MaxUint64
		}
	}
	return nil
}

// leastRecord is less than any record of a log takes, with its header.
const leastRecord = leastChunk + 12 + batchrepr.HeaderLen

// endsIn reports whether what is wrong at the end is less than n bytes: what marks the end.
func (c *chunks) endsIn(n int64) bool {
	if len(c.bad) == 0 {
		return false
	}
	x := c.bad[len(c.bad)-1]
	return x.n < n && x.off >= c.end
}

// batchOf returns what a record of a log holds, which should be numbered from next on, if it
// is not 0. whole is whether all of it could be taken apart.
func batchOf(r *chunkRecord, next uint64) (g group, first uint64, whole bool) {
	h, ok := batchrepr.ReadHeader(r.data)
	if first = uint64(h.SeqNum); r.doubt && next > 0 {
		first = next
	}
	if !ok {
		return g, first, false
	}
	b := batchrepr.Read(r.data)
	for {
		kind, key, value, ok, err := b.Next()
		if err != nil || !ok {
			return g, first, err == nil && (!r.doubt || len(g.entries) == int(h.Count))
		}
		if kind == pebble.InternalKeyKindLogData {
			continue
		}
		g.entries = append(g.entries, entry{key: string(key), seq: first + uint64(len(g.entries)), deleted: kind != pebble.InternalKeyKindSet, table: -1, value: bytes.Clone(value)})
	}
}

func (p place) readLog(name string, size int64) (*chunks, error) {
	return p.readChunks(name, size, uint32(number(name)))
}

func (p place) readChunks(name string, size int64, number uint32) (*chunks, error) {
	f, err := p.fs.Open(p.in(dbName, name))
	if err != nil {
		return nil, err
	}
	c, err := readChunks(f, size, number)
	return c, errors.Join(err, f.Close())
}

// findings are what is wrong with a log or a manifest. One that is not strict may end with
// what is none, if nothing follows it but parts of the same record: the medium may have
// written those alone.
func (c *chunks) findings(name string, strict bool) (list []backend.Anomaly) {
	for i, x := range c.bad {
		if !strict && (x.off >= c.end || c.torn && i == len(c.bad)-1 || !c.closed && !x.mended && x.off > c.sure && x.off >= c.synced) {
			continue // torn: of one batch the disk may have later parts, and not earlier ones
		}
		list = append(list, backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Damage, File: path.Join(dbName, name), Offset: x.off, Length: x.n, Detail: "what stands here is not what was written"})
	}
	if strict && isLog(name) && !c.closed && len(list) == 0 {
		list = append(list, backend.Anomaly{Code: backend.BadHeader, Severity: backend.Damage, File: path.Join(dbName, name), Offset: c.end, Detail: "the log was closed, and ends without saying so"})
	}
	return list
}

// settle makes one value of all that was found for each key.
func (s *salvaged) settle() {
	s.sort()
	s.findJudge()
	if s.judge == nil {
		return
	}
	for i := range s.groups {
		s.entries = append(s.entries, s.believe(&s.groups[i])...)
	}
	s.sort()
	out, guessed := s.entries[:0], false
	for i := 0; i < len(s.entries); {
		first := i
		for i++; i < len(s.entries) && s.entries[i].key == s.entries[first].key; i++ {
		}
		for _, e := range s.entries[first:i] {
			if e.table >= 0 && s.tables[e.table].guess && !e.deleted && !s.sound(e) {
				continue // not of a block of keys and values
			}
			switch {
			case e.deleted || len(e.key) == 0:
			case s.judge.Rewritten([]byte(e.key)) && s.outdated(&e): // as good as lost: it follows from the records
				if e.key[0] == tableMeta {
					s.stood, _ = s.value(e, nil)
				} else {
					guessed = true // … and of who has none, from nothing
				}
			default:
				out = append(out, e)
			}
			break
		}
	}
	s.entries, s.groups = slices.Clip(out), nil
	s.complete = s.stands() && s.count() && !guessed
}

// stands makes sure that the store says where it stands, and reports whether that is known.
func (s *salvaged) stands() (known bool) {
	key, _ := s.judge.Doubt(nil, nil)
	at, there := s.seek(key)
	if there {
		return true
	}
	var highest []byte
	if above, _ := s.seek([]byte{tablePlaces + 1}); above > 0 {
		highest = []byte(s.entries[above-1].key)
	}
	_, value := s.judge.Doubt(s.stood, highest)
	s.entries = slices.Insert(s.entries, at, entry{key: string(key), table: -1, value: value})
	return false
}

// sort puts the entries in order, the newest of each key first.
func (s *salvaged) sort() {
	slices.SortStableFunc(s.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(b.seq, a.seq))
	})
}

// findJudge looks for what the store says it is.
func (s *salvaged) findJudge() {
	for _, where := range [][]entry{s.entries, nil} {
		if where == nil {
			for i := range s.groups {
				where = append(where, s.groups[i].entries...)
			}
		}
		var ok bool
		s.judge, ok = kv.NewJudge(func(key []byte) (value []byte) {
			for _, e := range where {
				if e.key == string(key) && !e.deleted {
					if value, err := s.value(e, nil); err == nil {
						return value
					}
				}
			}
			return nil
		})
		if ok {
			return
		}
	}
}

// believe returns what can be believed of a group: values that are sound, where they belong, and,
// of a batch, values that are not under keys of records, so that what is wrong is known to be.
// That a key was deleted is not believed: what comes back lies below a floor.
func (s *salvaged) believe(g *group) (list []entry) {
	if len(g.entries) == 0 {
		s.lost.ranges = append(s.lost.ranges, *g)
		s.judge.Search(g.raw, func(home, value []byte) {
			list = append(list, entry{key: string(home), table: -1, value: bytes.Clone(value)})
		})
		return list
	}
	has, beside := map[string]bool{}, map[string]bool{}
	var newest uint64
	for _, e := range g.entries {
		newest = max(newest, e.seq)
		if e.deleted {
			continue
		}
		home, sound := s.judge.Home([]byte(e.key), e.value)
		if sound {
			e.key = string(home)
			for _, key := range s.judge.Beside(home, e.value) {
				beside[string(key)] = true
			}
		}
		if sound || s.judge.Record([]byte(e.key)) {
			has[e.key] = true
			list = append(list, e)
		}
	}
	for key := range beside {
		if !has[key] { // it was there, and can't be read
			list = append(list, entry{key: key, seq: newest, table: -1, value: []byte{0}})
		}
	}
	return list
}

// outdated reports whether there may have been a newer value of an entry.
func (s *salvaged) outdated(e *entry) bool {
	if e.seq < s.lost.before || e.table >= 0 && s.lost.tables {
		return true
	}
	for i := range s.lost.ranges {
		if r := &s.lost.ranges[i]; e.table >= 0 && e.key > r.low && (r.high == "" || e.key <= r.high) {
			return true
		}
	}
	return false
}

func (s *salvaged) sound(e entry) bool {
	value, err := s.value(e, nil)
	if err != nil || s.judge == nil {
		return false
	}
	home, ok := s.judge.Home([]byte(e.key), value)
	return ok && string(home) == e.key
}

// count reports whether as many sound records are there as the store says that it has.
func (s *salvaged) count() (complete bool) {
	if s.judge == nil {
		return false
	}
	records := uint64(0)
	for _, e := range s.entries {
		if value, err := s.value(e, nil); err == nil && s.judge.Record([]byte(e.key)) && !s.judge.Lost(value) && s.sound(e) {
			records++
		}
	}
	return s.judge.Complete(records, func(key []byte) []byte {
		value, _, _ := s.Get(key, nil)
		return value
	})
}

func (s *salvaged) close() {
	for _, t := range s.tables {
		_ = t.f.Close()
	}
	s.tables = nil
}

// refusal is why nothing is written to a damaged store.
func (s *salvaged) refusal() error {
	a := &s.findings[0]
	return fmt.Errorf("%w: %w: %s is damaged (%s): nothing is written until it is recovered", backend.ErrPoisoned, backend.ErrCorrupt, a.File, a.Detail)
}
