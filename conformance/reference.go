package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// Features is what an explored history may ask for.
type Features struct {
	Reopens  bool // opening again finds what was stored
	Compacts bool // Compact is claimed
}

// reference is what a backend must do, in a map of slices: it knows nothing of packages
// backend's and memory's code, so that what they get wrong is seen too. It answers each
// operation with the text that a backend's answer must come to.
type reference struct {
	streams map[string]*refStream
	order   []refRecord // all records that were stored, in commit order
}

type refStream struct {
	name           string
	version, floor uint64
	epoch          uint64
	records        []refRecord // from floor on
	snapshots      []refRecord // in the order in which they were saved
}

type refRecord struct {
	stream  string
	version uint64
	id      byte // on a batch's first record
	place   int
	label   string
	ordinal int // in commit order
}

func (r *refRecord) String() string { return fmt.Sprintf("%s/%d %s", r.stream, r.version, r.label) }

func newReference() *reference { return &reference{streams: map[string]*refStream{}} }

// stream returns the stream, and makes it if it is not there.
func (m *reference) stream(name string) *refStream {
	s := m.streams[name]
	if s == nil {
		s = &refStream{name: name, floor: 1}
		m.streams[name] = s
	}
	return s
}

// do answers the operation that stands at this place of the history.
func (m *reference) do(at int, o Op) string {
	switch o.Do {
	case DoAppend:
		return m.append(at, o)
	case DoBatches:
		return m.append(at, o) + "; " + m.append(at, o.second())
	case DoRestore:
		s := m.stream(o.Stream)
		s.epoch = max(s.epoch, o.Epoch)
		m.store(s, refRecord{label: o.label(at, 0)})
		return fmt.Sprintf("version %d", s.version)
	case DoSnapshot:
		return m.snapshot(at, o)
	case DoRead:
		return m.read(o)
	case DoPage:
		return m.all()
	case DoLook:
		return m.look(o)
	case DoList:
		return m.list()
	case DoReopen:
		return "opened"
	case DoScan:
		return "clean"
	case DoCompact:
		return m.compact(o)
	case DoRetain:
		return m.retain(uint64(max(o.Limit, 1)))
	}
	return "no such action"
}

// append judges in the order of the contract: a batch that is there already, the
// writer's epoch, the expected version.
func (m *reference) append(at int, o Op) string {
	s := m.streams[o.Stream]
	if s == nil {
		s = &refStream{name: o.Stream, floor: 1}
	}
	expected, n := uint64(o.Expected), o.records()
	if o.ID > 0 && o.Expected == backend.Any {
		return "invalid"
	}
	if o.ID > 0 && s.version > expected {
		if expected+1 < s.floor {
			return "compacted"
		}
		if s.holds(expected+1, o.ID, n) {
			return fmt.Sprintf("repeated, version %d", expected+uint64(n))
		}
	}
	switch {
	case o.Epoch < s.epoch:
		return "fenced"
	case o.Expected != backend.Any && expected != s.version:
		return fmt.Sprintf("conflict at %d", s.version)
	}
	m.streams[o.Stream] = s
	s.epoch = o.Epoch
	for i := range n {
		r := refRecord{place: i, label: o.label(at, i)}
		if i == 0 {
			r.id = o.ID
		}
		m.store(s, r)
	}
	return fmt.Sprintf("version %d", s.version)
}

// holds reports whether the batch of n records stands at the version.
func (s *refStream) holds(version uint64, id byte, n int) bool {
	at := slices.IndexFunc(s.records, func(r refRecord) bool { return r.version == version })
	if at < 0 || s.records[at].id != id || s.records[at].place != 0 {
		return false
	}
	end := at + 1
	for end < len(s.records) && s.records[end].place == end-at {
		end++
	}
	return end-at == n
}

// store gives the record its numbers.
func (m *reference) store(s *refStream, r refRecord) {
	s.version++
	r.stream, r.version, r.ordinal = s.name, s.version, len(m.order)
	s.records = append(s.records, r)
	m.order = append(m.order, r)
}

func (m *reference) snapshot(at int, o Op) string {
	s := m.streams[o.Stream]
	if s == nil {
		return "conflict at 0"
	}
	switch {
	case o.Epoch < s.epoch:
		return "fenced"
	case o.From > s.version:
		return fmt.Sprintf("conflict at %d", s.version)
	}
	s.epoch = o.Epoch
	s.snapshots = append(s.snapshots, refRecord{stream: s.name, version: o.From, label: o.label(at, 0)})
	return "saved"
}

func (m *reference) read(o Op) string {
	s := m.streams[o.Stream]
	if s == nil {
		return ""
	}
	if o.From > 0 && o.From < s.floor {
		return "compacted"
	}
	var parts []string
	for i := range s.records {
		r := &s.records[i]
		if o.Reverse {
			r = &s.records[len(s.records)-1-i]
		}
		if r.version >= o.From && (o.To == 0 || r.version <= o.To) && (o.Limit == 0 || len(parts) < o.Limit) {
			parts = append(parts, r.String())
		}
	}
	return strings.Join(parts, ", ")
}

func (m *reference) all() string {
	var parts []string
	for i := range m.order {
		if r := &m.order[i]; r.version >= m.streams[r.stream].floor {
			parts = append(parts, r.String())
		}
	}
	return strings.Join(parts, ", ")
}

func (m *reference) look(o Op) string {
	s := m.streams[o.Stream]
	if s == nil {
		return headText(0, 0, 0) + ", no snapshot"
	}
	text := headText(s.version, s.epoch, s.floor)
	if found := s.newest(o.From); found != nil {
		return text + ", snapshot " + found.String()
	}
	return text + ", no snapshot"
}

// newest is the newest snapshot at or below the version; zero: of all.
func (s *refStream) newest(upTo uint64) (found *refRecord) {
	for i := range s.snapshots {
		if r := &s.snapshots[i]; (upTo == 0 || r.version <= upTo) && (found == nil || r.version >= found.version) {
			found = r
		}
	}
	return found
}

func headText(version, epoch, floor uint64) string {
	return fmt.Sprintf("version %d epoch %d floor %d", version, epoch, floor)
}

func (m *reference) names() []string {
	var names []string
	for name := range m.streams {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m *reference) list() string {
	var parts []string
	for _, name := range m.names() {
		s := m.streams[name]
		parts = append(parts, name+" "+headText(s.version, s.epoch, s.floor))
	}
	return strings.Join(parts, ", ")
}

// most is the highest floor that the stream may get.
func (s *refStream) most() uint64 {
	if r := s.newest(0); r != nil {
		return r.version + 1
	}
	return 1
}

func (m *reference) compact(o Op) string {
	s := m.streams[o.Stream]
	if s == nil {
		s = &refStream{floor: 1}
	}
	if o.From > s.most() {
		return "invalid"
	}
	s.cut(o.From)
	return "compacted to it"
}

// cut takes what lies below the floor, and the snapshots that nothing can be built from.
func (s *refStream) cut(floor uint64) {
	if floor <= s.floor {
		return
	}
	s.floor = floor
	s.records = slices.DeleteFunc(s.records, func(r refRecord) bool { return r.version < floor })
	s.snapshots = slices.DeleteFunc(s.snapshots, func(r refRecord) bool { return r.version+1 < floor })
}

func (m *reference) retain(n uint64) string {
	var parts []string
	for _, name := range m.names() {
		s := m.streams[name]
		if s.version+1 < s.floor+n {
			continue
		}
		if floor := min(s.version+1-n, s.most()); floor > s.floor {
			parts = append(parts, fmt.Sprintf("%s from %d", name, floor))
			s.cut(floor)
		}
	}
	return "plan " + strings.Join(parts, ", ")
}
