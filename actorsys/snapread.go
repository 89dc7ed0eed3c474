package actorsys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/papyra-go/papyra/backend"
)

// errNoSnapshot is why a replay begins with the first event.
var errNoSnapshot = errors.New("there is no snapshot")

// loadSnapshot begins a replay with the stream's newest snapshot, at most at version upTo,
// that is fit. One that is not (of another schema, damaged, not decodable) is passed over
// for an older one, and if there is none the replay begins with the first event. Another
// schema is as planned, the rest is worth a warning. why says what was passed over last.
func (k *Kind[S]) loadSnapshot(ctx context.Context, stream string, upTo backend.Version, r *replayed[S]) (why, err error) {
	why = errNoSnapshot
	if k.unfit != nil { // what may be there was saved with loss
		return fmt.Errorf("%w that is whole: %w", errNoSnapshot, k.unfit), nil
	}
	for upTo > 0 {
		rec, err := k.sys.cfg.Backend.Snapshot(ctx, stream, upTo)
		switch {
		case errors.Is(err, backend.ErrNotFound):
			return why, nil
		case errors.Is(err, backend.ErrCorrupt):
			why = err
			below := damagedAt(err)
			k.passOver(ctx, slog.LevelWarn, stream, below, err)
			if below == 0 || below > upTo {
				return why, k.oldestSound(ctx, stream, upTo, r)
			}
			upTo = below - 1
			continue
		case err != nil:
			return why, err
		}
		err = r.beginWith(k, &rec)
		if err == nil {
			return nil, nil
		}
		level := slog.LevelWarn
		if errors.Is(err, errOtherSchema) {
			level = slog.LevelDebug
		}
		why = fmt.Errorf("the snapshot at version %d: %w", rec.Version, err)
		k.passOver(ctx, level, stream, rec.Version, err)
		upTo = rec.Version - 1
	}
	return why, nil
}

func (k *Kind[S]) passOver(ctx context.Context, level slog.Level, stream string, version backend.Version, why error) {
	k.sys.cfg.Logger.Log(ctx, level, "a snapshot was passed over", "stream", stream, "version", version, "error", why)
}

// damagedAt is the version of the snapshot that is damaged; 0: not known.
func damagedAt(err error) backend.Version {
	var c *backend.CorruptError
	if errors.As(err, &c) {
		return c.Version
	}
	return 0
}

// oldestSound takes the last fit snapshot before the first damage, where nobody can tell
// which one is damaged.
func (k *Kind[S]) oldestSound(ctx context.Context, stream string, upTo backend.Version, r *replayed[S]) error {
	q := backend.Query{Stream: stream, To: uint64(upTo), Kinds: backend.KindSet(backend.Snapshot)}
	for rec, err := range k.sys.cfg.Backend.Read(ctx, q) {
		if errors.Is(err, backend.ErrCorrupt) {
			return nil
		}
		if err != nil {
			return err
		}
		r.beginWith(k, &rec) // an older one stays if it is not fit
	}
	return nil
}

// beginWith takes a snapshot, if it is fit.
func (r *replayed[S]) beginWith(k *Kind[S], rec *backend.Record) error {
	s, err := k.snapshotState(rec)
	if err != nil {
		return err
	}
	at, err := alarmOf(rec)
	if err == nil {
		r.state, r.version, r.alarm = s, rec.Version, at
	}
	return err
}

var errOtherSchema = errors.New("it has another schema")

// snapshotState decodes a snapshot.
func (k *Kind[S]) snapshotState(rec *backend.Record) (s S, err error) {
	upcast := k.opts.SnapshotUpcast[rec.Schema]
	switch {
	case rec.Type != snapshotType:
		return s, fmt.Errorf("its type is %q, want %q", rec.Type, snapshotType)
	case rec.Schema != k.opts.SnapshotSchema && upcast == nil:
		return s, fmt.Errorf("%w: %d, the kind's is %d (see Options.SnapshotUpcast)", errOtherSchema, rec.Schema, k.opts.SnapshotSchema)
	}
	err = guard(func() (err error) {
		if rec.Schema == k.opts.SnapshotSchema {
			return k.book.codec.Unmarshal(rec.Payload, &s)
		}
		s, err = upcast(rec.Payload)
		return err
	})
	return s, err
}
