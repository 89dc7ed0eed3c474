package actorsys

import (
	"context"

	"github.com/papyra-go/papyra/backend"
)

// snapshotType is the type under which states are saved.
const snapshotType = "state"

// snapshotsWaiting is how many actors' snapshots may wait to be saved.
const snapshotsWaiting = 4096

// picture is a state that is to be saved once its turn is durable. The record's payload
// is made then.
type picture struct {
	record backend.Record
	encode func() ([]byte, error)
	saved  func() // called when it is
}

// picture takes a snapshot of the state after the turn, if it is time for one or it
// was asked for.
func (a *actor[S]) picture(t *Turn, s S) {
	version := t.version + backend.Version(len(t.records))
	if version == 0 || !t.snapshot && !a.pictureDue(t, version, s) {
		return
	}
	if a.kind.unfit != nil {
		a.sys.snapshots.dropped.Add(1)
		a.kind.warned.Do(func() {
			a.sys.cfg.Logger.Error("snapshots are not saved: the state would not come back whole", "kind", a.kind.name, "error", a.kind.unfit)
		})
		return
	}
	t.state = &picture{
		record: backend.Record{Stream: a.address, Version: version, Type: snapshotType, Schema: a.kind.opts.SnapshotSchema, Time: t.now, Meta: a.alarmAfter(t).meta()},
		encode: func() ([]byte, error) { return a.kind.book.codec.Marshal(s) },
		saved:  a.kind.afterSnapshot(a.address),
	}
}

// pictureDue reports whether the policy asks for a snapshot.
func (a *actor[S]) pictureDue(t *Turn, version backend.Version, s S) bool {
	if len(t.records) == 0 {
		return false
	}
	every := backend.Version(a.kind.opts.SnapshotEvery)
	if every > 0 && version/every > t.version/every {
		return true
	}
	when, due := a.kind.opts.SnapshotWhen, false
	if when == nil {
		return false
	}
	if err := guard(func() error { due = when(s); return nil }); err != nil {
		a.sys.snapshots.dropped.Add(1)
		a.sys.cfg.Logger.Error("Options.SnapshotWhen panicked", "stream", a.address, "error", err)
		return false
	}
	return due
}

// afterSnapshot is what to do when a snapshot is saved; nil: nothing.
func (k *Kind[S]) afterSnapshot(stream string) func() {
	if !k.opts.Truncate {
		return nil
	}
	return func() {
		k.sys.truncator.add(stream, func(ctx context.Context) (backend.Version, error) { return k.floor(ctx, stream) })
	}
}

// saveSnapshots is the lane's: it encodes states and stores them beside the turns. Errors
// are counted.
func (s *System) saveSnapshots(states []*picture) {
	for _, p := range states {
		if err := s.saveSnapshot(p); err != nil {
			s.snapshots.dropped.Add(1)
			s.cfg.Logger.Debug("a snapshot could not be saved", "stream", p.record.Stream, "error", err)
		} else if p.saved != nil {
			p.saved()
		}
	}
}

func (s *System) saveSnapshot(p *picture) (err error) {
	if p.record.Payload, err = aside(p.encode); err != nil {
		s.cfg.Logger.Error("a snapshot could not be encoded", "stream", p.record.Stream, "error", err)
		return err
	}
	_, err = s.cfg.Backend.SaveSnapshot(s.ctx, p.record)
	return err
}

// aside calls user code in a goroutine of its own, which it may end.
func aside(f func() ([]byte, error)) (data []byte, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended := false
		defer func() {
			if !ended {
				err = caught(nil)
			}
		}()
		err = guard(func() (err error) {
			data, err = f()
			return err
		})
		ended = true
	}()
	<-done
	return data, err
}
