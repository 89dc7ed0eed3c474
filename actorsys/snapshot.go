package actorsys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/papyra-go/papyra/backend"
)

// snapshotType is the type under which states are saved.
const snapshotType = "state"

// picture takes a snapshot of the state after the turn, if it is time for one or it
// was asked for. It is encoded now, because later turns may change what the state
// refers to, and saved once the turn is durable. A codec that fails costs the
// snapshot only.
func (a *actor[S]) picture(t *Turn, s S) {
	every := backend.Version(a.kind.opts.SnapshotEvery)
	version := t.version + backend.Version(len(t.records))
	due := every > 0 && version/every > t.version/every
	if !due && !t.snapshot || version == 0 {
		return
	}
	if a.kind.unfit != nil {
		a.sys.snapshots.dropped.Add(1)
		a.kind.warned.Do(func() {
			a.sys.cfg.Logger.Error("snapshots are not saved: the state would not come back whole", "kind", a.kind.name, "error", a.kind.unfit)
		})
		return
	}
	payload, err := a.marshal(s)
	if err != nil {
		a.sys.snapshots.dropped.Add(1)
		a.sys.cfg.Logger.Error("a snapshot could not be encoded", "stream", a.address, "error", err)
		return
	}
	t.state = &backend.Record{Stream: a.address, Version: version, Type: snapshotType, Schema: a.kind.opts.SnapshotSchema, Time: t.now, Payload: payload}
	t.size += t.state.Size()
}

func (a *actor[S]) marshal(s S) (payload []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = caught(v)
		}
	}()
	return a.kind.book.codec.Marshal(s)
}

// loadSnapshot begins a replay with the stream's newest snapshot. One that is not fit
// (of another schema, damaged, not decodable) is passed over: the events decide then,
// as far as they reach back. Another schema is as planned, the rest is worth a warning.
func (a *actor[S]) loadSnapshot(ctx context.Context, b *backend.Backend, r *replayed[S]) error {
	if a.kind.unfit != nil { // what may be there was saved with loss
		return nil
	}
	level := slog.LevelWarn
	rec, err := b.Snapshot(ctx, a.address, 0)
	switch {
	case errors.Is(err, backend.ErrNotFound):
		return nil
	case errors.Is(err, backend.ErrCorrupt):
	case err != nil:
		return err
	case rec.Type == snapshotType && rec.Schema != a.kind.opts.SnapshotSchema:
		level, err = slog.LevelDebug, fmt.Errorf("its schema is %d, the kind's %d", rec.Schema, a.kind.opts.SnapshotSchema)
	default:
		var s S
		if err = a.unmarshal(&rec, &s); err == nil {
			r.state, r.version = s, rec.Version
			return nil
		}
	}
	a.sys.cfg.Logger.Log(ctx, level, "a snapshot was passed over", "stream", a.address, "version", rec.Version, "error", err)
	return nil
}

func (a *actor[S]) unmarshal(rec *backend.Record, s *S) (err error) {
	if rec.Type != snapshotType {
		return fmt.Errorf("its type is %q, want %q", rec.Type, snapshotType)
	}
	defer func() {
		if v := recover(); v != nil {
			err = caught(v)
		}
	}()
	return a.kind.book.codec.Unmarshal(rec.Payload, s)
}

// saveSnapshots is the lane's: it stores states beside the turns. Errors are counted.
func (s *System) saveSnapshots(states []backend.Record) {
	for i := range states {
		if _, err := s.cfg.Backend.SaveSnapshot(s.ctx, states[i]); err != nil {
			s.snapshots.dropped.Add(1)
			s.cfg.Logger.Debug("a snapshot could not be saved", "stream", states[i].Stream, "error", err)
		}
	}
}
