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
	heads, fresh, err := l.headsOf(records)
	if err != nil {
		return err
	}
	before := make(map[string]head, len(heads))
	for name, h := range heads {
		before[name] = *h
	}
	st := l.state
	err = l.engine.Write(func(b Batch) error { return l.put(b, records, heads, fresh, &st) })
	l.tidyArena()
	if errors.Is(err, backend.ErrUnknownOutcome) {
		l.doubt.Store(&before)
	}
	if err != nil {
		return err
	}
	l.setState(st)
	return nil
}

// headsOf returns where the streams of the records stand, and which of them are new.
func (l *Log) headsOf(records []backend.Record) (heads map[string]*head, fresh map[string]bool, err error) {
	heads = map[string]*head{}
	var buf buffers
	err = l.engine.View(func(s Snapshot) error {
		for i := range records {
			name := records[i].Stream
			if heads[name] != nil {
				continue
			}
			h, found, err := l.readHead(s, name, &buf)
			if err == nil && !found {
				err = l.headless(s, name, &buf)
			}
			if err != nil {
				return err
			}
			if heads[name] = &h; !found {
				if fresh == nil {
					fresh = map[string]bool{}
				}
				fresh[name] = true
			}
		}
		return nil
	})
	return heads, fresh, err
}

// put adds what an append writes to a batch.
func (l *Log) put(b Batch, records []backend.Record, heads map[string]*head, fresh map[string]bool, st *state) error {
	for i := range records {
		r := &records[i]
		h := heads[r.Stream]
		*h = h.after(r)
		if err := l.putRecord(b, r); err != nil {
			return err
		}
		if err := l.putPlace(b, r.Position, place{r.Kind, st.newest, r.Version, []byte(r.Stream)}); err != nil {
			return err
		}
		st.last, st.newest = r.Position, r.Position
		st.version, st.epoch = max(st.version, h.Version), max(st.epoch, r.Epoch)
		st.records++
	}
	for name, h := range heads {
		if err := l.putHead(b, name, h); err != nil {
			return err
		}
		if fresh[name] || h.Unreadable() {
			if err := l.putName(b, name, h); err != nil {
				return err
			}
		}
	}
	return l.putState(b, st)
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

// tidyArena makes the memory of the values free for the next write.
func (l *Log) tidyArena() {
	if cap(l.arena) > arenaKept {
		l.arena = nil
	}
	l.arena = l.arena[:0]
}
