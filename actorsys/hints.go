package actorsys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// The alarms of all of a kind's actors are hinted at in one stream of the kind's, so that
// a system that starts knows them without looking into any actor's stream:
//
//	$alarms/<kind>   alarm-hint   {"id":"ada","version":7,"at":"…"}
//	                 alarm-hint   {"id":"ada","version":9,"settled":true}
//	                 alarm-hints  [ …, … ]                             a checkpoint
//
// A hint says that the actor's alarm may be at a time since a version; a settled one, that
// the hints of that version and those before are void, and what holds in their stead. So
// what the hints come to does not depend on their order. They may name an alarm that is
// none (the actor is looked at for nothing then, and the hint is settled), but never miss
// one: a hint is appended in front of the records that it is about, in the same call, and
// is settled when the actor's own stream is further, and no turn that was decided meanwhile
// relies on it.
const (
	hintsPrefix  = "$alarms/"
	hintType     = "alarm-hint"
	hintsType    = "alarm-hints"
	hintSchema   = 1
	hintsAtATime = 1000 // in one record of a checkpoint
	hintBytes    = 1024 // more than one takes there
	hintsTail    = 4096 // records before the next checkpoint, at least
)

// hint is one, as it is stored.
type hint struct {
	ID      string          `json:"id"`
	Version backend.Version `json:"version"`
	At      time.Time       `json:"at,omitzero"`
	Settled bool            `json:"settled,omitempty"`
}

// write has a hint stored: with the next group, or soon. The lock is held.
func (b *bells) write(h hint, soon bool) {
	b.hints = append(b.hints, h)
	if soon {
		b.owed++
		b.sys.work.enter(true)
	}
	if soon || !b.listed {
		b.listed = true
		b.sys.commit.addHints(b, soon)
	}
}

// sending is a batch of hints, as the committer sees it.
type sending struct {
	bells *bells
	batch backend.Batch
	hints []hint
	owed  int // works of the system that end with it
}

// take makes batches of the hints to write: as many as they need.
func (b *bells) take() (all []*sending) {
	now := b.sys.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	var last *sending
	size := 0
	for _, h := range b.hints {
		r := hintRecord(hintType, now, h)
		n := len(b.stream) + r.Size()
		if size += n; last == nil || size > b.sys.limits.BatchBytes {
			last = &sending{bells: b, batch: backend.Batch{Stream: b.stream, Expected: backend.Any}}
			all, size = append(all, last), n
		}
		last.hints, last.batch.Records = append(last.hints, h), append(last.batch.Records, r)
	}
	if last != nil {
		last.owed, b.owed = b.owed, 0
	}
	b.hints, b.listed = nil, false
	return all
}

func (s *sending) send() backend.Batch { return s.batch }

func hintRecord(name string, at time.Time, v any) backend.Record {
	payload, err := json.Marshal(v)
	if err != nil { // strings, numbers, and times that were checked
		panic(err)
	}
	return backend.Record{Kind: backend.Event, Type: name, Schema: hintSchema, Time: at, Payload: payload}
}

// settle learns what became of them. Those that could not be stored go with the next group.
func (s *sending) settle(o outcome) (more bool) {
	b := s.bells
	b.mu.Lock()
	if o.err == nil {
		b.tail += len(s.hints)
	} else {
		b.hints = append(s.hints, b.hints...)
		b.listed = true
		b.sys.commit.addHints(b, false)
	}
	b.mu.Unlock()
	if o.err != nil {
		b.sys.cfg.Logger.Error("hints of alarms could not be stored, and go with the next group", "stream", b.stream, "error", o.err)
	}
	for range s.owed {
		b.sys.work.leave()
	}
	return false
}

// supposed is what the hints of one actor come to.
type supposed struct {
	settled backend.Version
	version backend.Version // of the newest hint that counts; 0: none does
	at      alarm           // the earliest of them
}

// add takes a hint in.
func (s *supposed) add(h *hint) {
	at := alarmAt(h.At)
	if h.Settled && h.Version >= s.settled {
		s.settled = h.Version
		if s.version <= h.Version {
			s.version, s.at = 0, 0
		}
	}
	if at == 0 || h.Version < s.settled || h.Version == s.settled && !h.Settled {
		return
	}
	if s.version == 0 || at < s.at {
		s.at = at
	}
	s.version = max(s.version, h.Version)
}

// fold reads what the stream of hints comes to, and up to which version. If it is damaged
// that is what can be read, and an error.
func (b *bells) fold(ctx context.Context) (all map[string]*supposed, version backend.Version, records int, err error) {
	all = map[string]*supposed{}
	store := b.sys.cfg.Backend
	checkpoint, err := store.Snapshot(ctx, b.stream, 0)
	if err != nil && !errors.Is(err, backend.ErrNotFound) {
		return all, 0, 0, err
	}
	version = checkpoint.Version
	for r, err := range store.Read(ctx, backend.Query{Stream: b.stream, From: uint64(version) + 1}) {
		var hints []hint
		if err == nil && r.Type == hintsType {
			err = json.Unmarshal(r.Payload, &hints)
		} else if err == nil {
			hints = make([]hint, 1)
			err = json.Unmarshal(r.Payload, &hints[0])
		}
		if err != nil {
			return all, version, records, fmt.Errorf("version %d: %w", version+1, err)
		}
		for i := range hints {
			x := all[hints[i].ID]
			if x == nil {
				x = &supposed{}
				all[hints[i].ID] = x
			}
			x.add(&hints[i])
		}
		version = r.Version
		records++
	}
	maps.DeleteFunc(all, func(_ string, x *supposed) bool { return x.version == 0 })
	return all, version, records, nil
}

// recall reads the hints when the kind is registered, until that succeeds. Where the
// stream is damaged, what can be read is taken once, and the actors whose hints are lost
// keep their alarms, but ring only once they are in memory again.
func (b *bells) recall() {
	taken := false
	for pause := healPauseMin; ; pause = min(2*pause, healPauseMax) {
		all, _, records, err := b.fold(b.sys.ctx)
		if err == nil || lasting(err) && !taken {
			b.suppose(all, records)
			taken = true
		}
		if err == nil {
			return
		}
		b.sys.cfg.Logger.Error("the hints of alarms can't be read: tries again", "stream", b.stream, "error", err)
		if !b.sys.sleep(pause) {
			return
		}
	}
}

// suppose adds what the hints say to what is known.
func (b *bells) suppose(all map[string]*supposed, records int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tail = max(b.tail, records)
	for id, s := range all {
		x := b.of(id)
		if x.hinted == 0 || s.at < x.hinted {
			x.hinted = s.at
		}
		if x.version == 0 && (x.at == 0 || s.at < x.at) {
			b.set(x, s.at)
		}
	}
}

// checkpoint writes what the hints come to anew once the stream has grown long, so that a
// start reads little, and has what is behind it cut. Nothing is lost if it ends halfway:
// the snapshot that ends it says what counts.
func (b *bells) checkpoint() {
	b.mu.Lock()
	due := b.tail > hintsTail+4*len(b.bells)
	if due {
		b.tail = 0
	}
	b.mu.Unlock()
	if !due || b.sys.isKilled() {
		return
	}
	if err := b.writeCheckpoint(b.sys.ctx); err != nil {
		b.sys.cfg.Logger.Warn("the hints of alarms could not be gathered", "stream", b.stream, "error", err)
	}
}

func (b *bells) writeCheckpoint(ctx context.Context) error {
	all, version, _, err := b.fold(ctx)
	if err != nil {
		return err
	}
	store := b.sys.cfg.Backend
	ids := slices.Sorted(maps.Keys(all))
	most := max(1, min(hintsAtATime, b.sys.limits.RecordBytes/hintBytes))
	for some := range slices.Chunk(ids, most) {
		hints := make([]hint, len(some))
		for i, id := range some {
			hints[i] = hint{ID: id, Version: all[id].version, At: all[id].at.time()}
		}
		record := hintRecord(hintsType, b.sys.now(), hints)
		if _, err := store.Append(ctx, backend.Batch{Stream: b.stream, Expected: backend.Any, Records: []backend.Record{record}}); err != nil {
			return err
		}
	}
	r := backend.Record{Stream: b.stream, Version: version, Type: hintsType, Schema: hintSchema, Time: b.sys.now(), Payload: []byte("{}")}
	if _, err := store.SaveSnapshot(ctx, r); err != nil {
		return err
	}
	if store.Capabilities().Compact {
		b.sys.truncator.add(b.stream, func(context.Context) (backend.Version, error) { return version + 1, nil })
	}
	return nil
}
