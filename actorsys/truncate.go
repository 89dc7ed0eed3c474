package actorsys

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// The truncator's pauses: how long it lets snapshots gather, and how many times longer
// than a compaction took it rests after it.
const (
	truncatePause = time.Minute
	truncateRests = 20
)

// truncator cuts away what lies behind the snapshots of many streams at a time, because
// a compaction costs about the same for one stream as for many. What is to be cut is
// found out when it is: until then only the stream's name is kept.
type truncator struct {
	sys  *System
	wake chan struct{} // capacity 1: told when due is no longer empty

	mu  sync.Mutex
	due map[string]floorOf
}

// floorOf returns the floor that a stream may get; 0: none.
type floorOf func(ctx context.Context) (backend.Version, error)

// add has a stream cut in a while.
func (t *truncator) add(stream string, floor floorOf) {
	t.mu.Lock()
	t.due[stream] = floor
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run cuts until the system is gone.
func (t *truncator) run() {
	for pause := truncatePause; ; {
		select {
		case <-t.wake:
		case <-t.sys.killed:
			return
		}
		if !t.sys.sleep(pause) {
			return
		}
		began := time.Now()
		t.cut(t.plan(t.sys.ctx))
		pause = max(truncatePause, truncateRests*time.Since(began))
	}
}

// plan looks at the streams that are due.
func (t *truncator) plan(ctx context.Context) (floors []backend.StreamFloor) {
	t.mu.Lock()
	due := t.due
	t.due = map[string]floorOf{}
	t.mu.Unlock()
	for _, stream := range slices.Sorted(maps.Keys(due)) {
		floor, err := due[stream](ctx)
		if err != nil {
			t.sys.cfg.Logger.Warn("a stream is not truncated", "stream", stream, "error", err)
			continue
		}
		if floor > 1 {
			floors = append(floors, backend.StreamFloor{Stream: stream, Floor: floor})
		}
	}
	return floors
}

// cut has the backend cut. A cut is refused whole if something holds a part of it: then
// its halves are tried. What is refused is due again after the stream's next snapshot.
func (t *truncator) cut(floors []backend.StreamFloor) {
	if len(floors) == 0 || t.sys.isKilled() {
		return
	}
	_, err := t.sys.cfg.Backend.Compact(t.sys.ctx, backend.Cut{Floors: floors})
	switch half := len(floors) / 2; {
	case err == nil:
	case errors.Is(err, backend.ErrInvalid) && half > 0:
		t.cut(floors[:half])
		t.cut(floors[half:])
	case errors.Is(err, backend.ErrInvalid):
		t.sys.cfg.Logger.Debug("a stream is not truncated", "stream", floors[0].Stream, "error", err)
	default:
		t.sys.cfg.Logger.Warn("streams are not truncated", "count", len(floors), "error", err)
	}
}

// floor returns the floor of a stream behind which nothing is needed: the version after
// the newest snapshot that has as many fit ones above it as are to be kept, itself
// counted, and all the events of the window of Dedup.
func (k *Kind[S]) floor(ctx context.Context, stream string) (backend.Version, error) {
	b := k.sys.cfg.Backend
	head, err := b.Head(ctx, stream)
	if err != nil {
		return 0, err
	}
	kept, last := 0, backend.Version(0)
	for rec, err := range b.Read(ctx, backend.Query{Stream: stream, Reverse: true, Kinds: backend.KindSet(backend.Snapshot)}) {
		if err != nil {
			return 0, err
		}
		if _, err := k.snapshotState(&rec); err != nil || rec.Version == last {
			continue
		}
		kept, last = kept+1, rec.Version
		if kept >= k.opts.SnapshotKeep && last+k.window() <= head.Version {
			return last + 1, nil
		}
	}
	return 0, nil
}
