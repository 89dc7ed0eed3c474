package kv

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// arenaKept is how much memory is kept for the values of the next append.
const arenaKept = 4 << 20

// Append stores the records, where they are, and where their streams and the store stand
// then, in one write.
func (l *Log) Append(_ context.Context, records []backend.Record) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if p := l.unfit.Load(); p != nil {
		return *p
	}
	l.order, l.runs = byStream(records, l.order, l.runs)
	defer l.tidy()
	if err := l.findHeads(l.runs); err != nil {
		return err
	}
	st := l.state
	if err := l.engine.Write(func(b Batch) error { return l.put(b, records, &st) }); err != nil {
		if errors.Is(err, backend.ErrUnknownOutcome) {
			l.setDoubt(l.runs)
		}
		l.lately.forgetAll()
		return err
	}
	for i := range l.runs {
		r := &l.runs[i]
		r.at.head, r.at.known = r.next, true
	}
	l.setState(st)
	return nil
}

// findHeads finds where the streams of the runs stand. The engine is asked for those that
// were not appended to lately.
func (l *Log) findHeads(runs []run) error {
	missing := 0
	for i := range runs {
		if runs[i].at = l.lately.get(runs[i].stream); runs[i].at == nil {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	var buf buffers
	return l.engine.View(func(s Snapshot) error {
		for i := range runs {
			r := &runs[i]
			if r.at != nil {
				continue
			}
			h, found, err := l.readHead(s, r.stream, &buf)
			if err == nil && !found {
				err = l.headless(s, r.stream, &buf)
			}
			if err != nil {
				return err
			}
			r.at = &standing{h, found}
			l.lately.put(r.stream, r.at)
		}
		return nil
	})
}

// setDoubt remembers where the streams stood before an append of which nobody knows whether
// it is stored.
func (l *Log) setDoubt(runs []run) {
	before := make(map[string]head, len(runs))
	for i := range runs {
		before[runs[i].stream] = runs[i].at.head
	}
	l.doubt.Store(&before)
}

// put adds what an append writes to a batch: stream by stream, then position by position.
func (l *Log) put(b Batch, records []backend.Record, st *state) error {
	for i := range l.runs {
		if err := l.putRun(b, &l.runs[i]); err != nil {
			return err
		}
		st.version, st.epoch = max(st.version, l.runs[i].next.Version), max(st.epoch, l.runs[i].next.Epoch)
	}
	for i := range records {
		r := &records[i]
		if err := l.putPlace(b, r.Position, place{r.Kind, st.newest, r.Version, []byte(r.Stream)}); err != nil {
			return err
		}
		st.last, st.newest = r.Position, r.Position
	}
	st.records += uint64(len(records))
	return l.putState(b, st)
}

// putRun adds the records of a stream, and where it stands then.
func (l *Log) putRun(b Batch, r *run) error {
	r.next = r.at.head
	for _, record := range r.records {
		r.next = r.next.after(record)
		if err := l.putRecord(b, record); err != nil {
			return err
		}
	}
	if err := l.putHead(b, r.stream, &r.next); err != nil {
		return err
	}
	if !r.at.known || r.next.Unreadable() {
		return l.putName(b, r.stream, &r.next)
	}
	return nil
}

func (l *Log) putRecord(b Batch, r *backend.Record) error {
	key := l.take(len(r.Stream) + 20)
	if r.Kind == backend.Snapshot {
		key = appendSnapshotKey(key, r.Stream, r.Version, r.Position)
	} else {
		key = appendRecordKey(key, r.Stream, r.Version)
	}
	value := l.take(8 + codec.Size(r, l.store.created))
	value = binary.BigEndian.AppendUint64(value, uint64(r.Position))
	return b.Set(key, codec.Append(value, r, l.codec, l.store.created))
}

func (l *Log) putPlace(b Batch, p backend.Position, pl place) error {
	key := appendPlaceKey(l.take(9), p)
	return b.Set(key, pl.append(l.take(1+10+10+len(pl.name)+4), l.sums, key, p))
}

func (l *Log) putHead(b Batch, name string, h *head) error {
	key := appendHeadKey(l.take(len(name)+3), name)
	return b.Set(key, h.append(l.take(8*10+4), l.sums, key))
}

// putName notes that there is such a stream; where it stands counts only if nothing of it
// is left.
func (l *Log) putName(b Batch, name string, h *head) error {
	was := head{}
	if h.Unreadable() {
		was = head{Head: h.Head, cut: h.cut, deleted: h.deleted}
	}
	key := appendNameKey(l.take(1+len(name)), name)
	return b.Set(key, was.append(l.take(8*10+4), l.sums, key))
}

func (l *Log) putState(b Batch, st *state) error {
	return b.Set(stateKey, st.append(l.take(5*10+4), l.sums))
}

// take returns an empty slice with room for n bytes, which are not changed before the
// write is done.
func (l *Log) take(n int) []byte {
	if cap(l.arena)-len(l.arena) < n {
		l.arena = make([]byte, 0, max(n, 64<<10, 2*cap(l.arena))) // the old one lives on as long as it is referred to
	}
	from := len(l.arena)
	l.arena = l.arena[:from+n]
	return l.arena[from:from:len(l.arena)]
}

// tidy lets go of what an append was about.
func (l *Log) tidy() {
	clear(l.order)
	clear(l.runs)
	l.tidyArena()
}

// tidyArena makes the memory of the values free for the next write.
func (l *Log) tidyArena() {
	if cap(l.arena) > arenaKept {
		l.arena = nil
	}
	l.arena = l.arena[:0]
}
