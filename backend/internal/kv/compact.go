package kv

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// A compaction is many writes, so that appends go on between them. The floors come first:
// a write of them hides what lies below, also after a crash, and notes in table 'c' which
// streams have records to delete. Each of the writes that follow deletes some; the last of
// a stream removes the note. What a crash leaves undone the next compaction does.
const (
	cutFloors  = 1024 // floors that one write sets
	cutRecords = 1024 // records that one write deletes
)

// Compact makes the cut, and deletes what lies below it.
func (l *Log) Compact(ctx context.Context, cut backend.Cut) (stats backend.CompactionStats, err error) {
	stats.RecordsBefore, stats.BytesBefore = int64(l.count.Load()), l.engine.Facts().Size
	defer func() { stats.RecordsAfter, stats.BytesAfter = int64(l.count.Load()), l.engine.Facts().Size }()
	for floors := range slices.Chunk(cut.Floors, cutFloors) {
		if err := l.setFloors(ctx, floors); err != nil {
			return stats, err
		}
	}
	if err := l.sweep(ctx); err != nil {
		return stats, err
	}
	return stats, l.engine.Compact(ctx)
}

// setFloors makes floors durable.
func (l *Log) setFloors(ctx context.Context, floors []backend.StreamFloor) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	defer l.tidyArena()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if p := l.unfit.Load(); p != nil {
		return *p
	}
	heads := make([]head, len(floors))
	var buf buffers
	err := l.engine.View(func(s Snapshot) (err error) {
		for i := range floors {
			found := false
			if heads[i], found, err = l.readHead(s, floors[i].Stream, &buf); err == nil && !found {
				err = l.headless(s, floors[i].Stream, &buf)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.engine.Write(func(b Batch) error {
		for i, f := range floors {
			l.lately.forget(f.Stream)
			h := &heads[i]
			h.Floor, h.cut = max(h.Floor, f.Floor), l.state.last
			if f.Delete {
				h.deleted = max(h.deleted, f.Floor)
			}
			if err := l.putHead(b, f.Stream, h); err != nil {
				return err
			}
			if err := l.putCut(b, f.Stream, h); err != nil {
				return err
			}
			if h.Unreadable() {
				if err := l.putName(b, f.Stream, h); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (l *Log) putCut(b Batch, name string, h *head) error {
	key := appendCutKey(l.take(1+len(name)), name)
	return b.Set(key, h.append(l.take(8*10+4), l.sums, key))
}

// sweep deletes what lies below the floors of the streams that table 'c' names.
func (l *Log) sweep(ctx context.Context) error {
	for {
		name, any, err := l.nextCut()
		if err != nil || !any {
			return err
		}
		for done := false; !done; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if done, err = l.sweepSome(name); err != nil {
				return err
			}
		}
	}
}

func (l *Log) nextCut() (name string, any bool, err error) {
	err = l.engine.View(func(s Snapshot) error {
		c := s.Cursor([]byte{tableCuts}, after(tableCuts))
		defer c.Close()
		if any = c.Seek([]byte{tableCuts}); any {
			name = string(c.Key()[1:])
		}
		return c.Err()
	})
	return name, any, err
}

// sweeping is what one write of a sweep deletes, and what it changes to that end.
type sweeping struct {
	name   string
	head   head
	keys   [][]byte           // of records, in order
	gone   []backend.Position // their positions, in order
	places []movedPlace       // of positions whose predecessor goes
	lost   *lost              // a mark that reaches beyond the floor: it stands at the floor then
	count  uint64             // of the keys, those of records
	state  state
	done   bool // nothing of the stream is left to delete
}

type movedPlace struct {
	position backend.Position
	place    place
}

// sweepSome deletes some of the stream's records, and reports whether they were the last.
func (l *Log) sweepSome(name string) (done bool, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	defer l.tidyArena()
	if p := l.unfit.Load(); p != nil {
		return false, *p
	}
	l.lately.forget(name)
	w := sweeping{name: name, state: l.state}
	if err := l.engine.View(func(s Snapshot) error { return l.planSweep(s, &w) }); err != nil {
		return false, err
	}
	if err := l.engine.Write(func(b Batch) error { return l.writeSweep(b, &w) }); err != nil {
		return false, err
	}
	l.setState(w.state)
	return w.done, nil
}

// planSweep finds what the next write deletes.
func (l *Log) planSweep(s Snapshot, w *sweeping) error {
	var buf buffers
	h, found, err := l.readHead(s, w.name, &buf)
	if err != nil {
		return err
	}
	if !found {
		return l.corrupt(w.name, 0, 0, "the stream is cut, and where it stands is missing")
	}
	w.head = h
	if err := l.planKeys(s, w, partRecord); err != nil {
		return err
	}
	if err := l.planKeys(s, w, partSnapshot); err != nil {
		return err
	}
	w.done = len(w.keys) < cutRecords
	slices.Sort(w.gone)
	w.state.records -= min(w.state.records, w.count)
	if err := l.findNewest(s, w); err != nil {
		return err
	}
	return l.closeRanks(s, w)
}

// planKeys adds the keys of a part of the stream that go, as many as there is room for.
func (l *Log) planKeys(s Snapshot, w *sweeping, part byte) error {
	low := appendStream(nil, w.name, part)
	high := appendStream(nil, w.name, part+1)
	if part == partRecord {
		high = appendRecordKey(nil, w.name, w.head.Floor)
	}
	c := s.Cursor(low, high)
	defer c.Close()
	var value []byte
	for ok := c.Seek(low); ok && len(w.keys) < cutRecords; ok = c.Next() {
		k, sound := parseStreamKey(c.Key())
		if !sound {
			return l.corrupt(w.name, 0, 0, "a key among the stream's records is none")
		}
		if part == partSnapshot && !w.head.gone(backend.Snapshot, k.version, k.position) {
			continue
		}
		var err error
		if value, err = c.Value(value[:0]); err != nil {
			return err
		}
		p, err := l.goneFrom(s, w.name, &k, value)
		if err != nil {
			return err
		}
		w.keys = append(w.keys, slices.Clone(c.Key()))
		if p > 0 {
			w.gone = append(w.gone, p)
		}
		if part == partSnapshot {
			w.head.snapshots -= min(w.head.snapshots, 1)
		}
		if !isLost(value) {
			w.count++
		} else if mark, err := parseLost(l.sums, c.Key(), value); err == nil && part == partRecord && mark.through >= w.head.Floor {
			w.lost = &lost{through: mark.through, detail: mark.detail}
		}
	}
	return c.Err()
}

// goneFrom returns the position that goes with a record; 0: none, as it was lost. What can't
// be read is not deleted: who knows what it is.
func (l *Log) goneFrom(s Snapshot, name string, k *streamKey, value []byte) (backend.Position, error) {
	if len(value) < 8 {
		return 0, l.corrupt(name, k.version, k.position, "the record below the cut: %v", errShort)
	}
	p := backend.Position(binary.BigEndian.Uint64(value))
	if p == 0 && isLost(value) {
		return 0, nil
	}
	key := appendPlaceKey(nil, p)
	at, found, err := s.Get(key, nil)
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, l.corrupt(name, k.version, p, "the record below the cut has no place among the positions: recover it first")
	}
	pl, err := parsePlace(l.sums, key, at, p)
	if err == nil && pl.kind == 0 && isLost(value) { // the position is marked as well, and says so on
		return 0, nil
	}
	if err == nil && (string(pl.name) != name || pl.version != k.version || (pl.kind == backend.Snapshot) != (k.part == partSnapshot)) {
		err = fmt.Errorf("position %d is that of stream %q version %d", p, pl.name, pl.version)
	}
	if err != nil {
		return 0, l.corrupt(name, k.version, p, "the record below the cut: %v: recover it first", err)
	}
	return p, nil
}

// findNewest sets which snapshot is the newest once the keys are deleted.
func (l *Log) findNewest(s Snapshot, w *sweeping) error {
	w.head.newest, w.head.newestAt = 0, 0
	gone := map[string]bool{}
	for _, key := range w.keys {
		gone[string(key)] = true
	}
	low, high := appendStream(nil, w.name, partSnapshot), appendHeadKey(nil, w.name)
	c := s.Cursor(low, high)
	defer c.Close()
	for ok := c.SeekBelow(high); ok; ok = c.Prev() {
		if k, sound := parseStreamKey(c.Key()); sound && !gone[string(c.Key())] {
			w.head.newest, w.head.newestAt = k.version, k.position
			break
		}
	}
	return c.Err()
}

// closeRanks finds the places whose predecessor goes: they say then which stands before
// what is deleted.
func (l *Log) closeRanks(s Snapshot, w *sweeping) error {
	c := s.Cursor([]byte{tablePlaces}, after(tablePlaces))
	defer c.Close()
	read := func(p backend.Position, ok bool) (place, error) {
		if err := c.Err(); err != nil {
			return place{}, err
		}
		at, sound := backend.Position(0), false
		if ok {
			at, sound = parsePlaceKey(c.Key())
		}
		if !sound || p > 0 && at != p {
			return place{}, l.corrupt("", 0, p, "the record's place among the positions is missing: recover it first")
		}
		value, err := c.Value(nil)
		if err != nil {
			return place{}, err
		}
		pl, err := parsePlace(l.sums, c.Key(), value, at)
		if err != nil {
			return place{}, l.corrupt("", 0, at, "which record is there can't be read: %v", err)
		}
		return pl, nil
	}
	for i := 0; i < len(w.gone); {
		p := w.gone[i]
		pl, err := read(p, c.Seek(appendPlaceKey(nil, p)))
		if err != nil {
			return err
		}
		before := pl.before
		for i++; ; i++ { // those that go with it, one after the other
			if !c.Next() {
				if err := c.Err(); err != nil {
					return err
				}
				w.state.newest = before
				break
			}
			next, sound := parsePlaceKey(c.Key())
			if sound && i < len(w.gone) && next == w.gone[i] {
				continue
			}
			pl, err := read(0, true)
			if err != nil {
				return err
			}
			pl.name = slices.Clone(pl.name)
			pl.before = before
			w.places = append(w.places, movedPlace{next, pl})
			break
		}
	}
	return nil
}

func (l *Log) writeSweep(b Batch, w *sweeping) error {
	for _, key := range w.keys {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	for _, p := range w.gone {
		if err := b.Delete(appendPlaceKey(l.take(9), p)); err != nil {
			return err
		}
	}
	for i := range w.places {
		if err := l.putPlace(b, w.places[i].position, w.places[i].place); err != nil {
			return err
		}
	}
	if w.lost != nil {
		key := appendRecordKey(l.take(len(w.name)+20), w.name, w.head.Floor)
		if err := b.Set(key, w.lost.append(nil, l.sums, key)); err != nil {
			return err
		}
	}
	if w.done {
		if err := b.Delete(appendCutKey(l.take(1+len(w.name)), w.name)); err != nil {
			return err
		}
	}
	if err := l.putHead(b, w.name, &w.head); err != nil {
		return err
	}
	return l.putState(b, &w.state)
}
