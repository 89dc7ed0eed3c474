package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
)

// goneMost is how many streams are taken away at a time, at most.
const goneMost = 20_000

// PlaceholderType is the type of the record that stands at the position of a Gone until
// it is taken away. Only a restore that was killed leaves any; the next takes them away.
const PlaceholderType = "papyra.gone"

// MarkerSystem is the system in whose audit stream a restored store notes its newest
// position, where that was a record's which is gone while its stream is not. It is rare: a
// snapshot that was saved last, of an older state than one before it.
const MarkerSystem = "papyra-restore"

// Stats is how far a transfer has come.
type Stats struct {
	Records uint64           // written
	Bytes   uint64           // of the records written, as Record.Size counts them
	Gone    uint64           // streams told to be gone, written
	Known   uint64           // items that the store had already
	Last    backend.Position // of the newest item
}

// DiffersError says that a store holds something else than what is to be restored into
// it: it is left as it is.
type DiffersError struct {
	Position backend.Position
	Detail   string
}

func (e *DiffersError) Error() string {
	return fmt.Sprintf("the store holds something else at position %d: %s", e.Position, e.Detail)
}

// ItemError says that an item does not follow those before it, or is not one that the
// store takes. Nothing of it was written.
type ItemError struct{ Err error }

func (e *ItemError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ItemError) Unwrap() error { return e.Err }

// Restorer puts items into a store, in their order. What the store holds already must be
// the same items, up to its last position: so the restore of a store that was interrupted
// goes on where it stopped, and one into another store's place changes nothing.
//
// Items are checked before they are written, and written in order, so that whatever ends
// it, the store holds everything up to some item and nothing behind it.
type Restorer struct {
	Stats
	ctx     context.Context
	b       *backend.Backend
	was     backend.Position        // the store's last when the restore began
	last    backend.Position        // of the last item
	heads   map[string]backend.Head // of the streams that wait, behind what waits
	pending map[string]backend.Version
	wait    waiting
	a, c    []byte // lines that are compared
	broken  bool   // the store has refused something: nothing more is written

	stored func() (backend.Record, error, bool) // what was there, in order
	stop   func()
	next   backend.Record
	nextOK bool
}

// NewRestorer begins a restore into b of items from a position on (0 and 1: from the
// first). A store that does not reach there yet, but holds something, is a
// [*DiffersError]. The caller ends it with Close.
func NewRestorer(ctx context.Context, b *backend.Backend, from backend.Position) (*Restorer, error) {
	was, err := b.Last(ctx)
	if err != nil {
		return nil, err
	}
	if was > 0 && was+1 < from {
		return nil, &DiffersError{was, fmt.Sprintf("it ends there, and what is to be restored begins at position %d: restore what comes between first", from)}
	}
	r := &Restorer{ctx: ctx, b: b, was: was, last: max(from, 1) - 1, heads: map[string]backend.Head{}, pending: map[string]backend.Version{}}
	r.stored, r.stop = iter.Pull2(b.Read(ctx, backend.Query{From: uint64(max(from, 1)), Kinds: backend.AllKinds}))
	return r, r.advance()
}

// Close gives back what a restore holds. It writes nothing.
func (r *Restorer) Close() { r.stop() }

// advance reads the next record that was there.
func (r *Restorer) advance() (err error) {
	r.next, err, r.nextOK = r.stored()
	return err
}

// Put restores one item; its bytes are the caller's again on return. It may be written
// later, by Flush at the latest.
func (r *Restorer) Put(item lines.Line) error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	at := positionOf(item)
	if at <= r.last {
		return &ItemError{fmt.Errorf("%w: position %d does not follow position %d", backend.ErrInvalid, at, r.last)}
	}
	var err error
	switch {
	case at <= r.was && item.Gone != nil:
		err = r.sameGone(item.Gone)
	case at <= r.was:
		err = r.sameRecord(item.Record)
	case item.Gone != nil:
		err = r.putGone(item.Gone)
	default:
		err = r.put(item.Record)
	}
	if err == nil {
		r.last = at
	}
	return err
}

func positionOf(item lines.Line) backend.Position {
	if item.Gone != nil {
		return item.Gone.Position
	}
	return item.Record.Position
}

// sameRecord compares an item with what was there.
func (r *Restorer) sameRecord(want *backend.Record) error {
	if err := r.nothingBefore(want.Position); err != nil {
		return err
	}
	if !r.nextOK || r.next.Position != want.Position {
		return &DiffersError{want.Position, fmt.Sprintf("nothing, where version %d of stream %.80q should be", want.Version, want.Stream)}
	}
	r.a, r.c = lines.AppendRecord(r.a[:0], &r.next), lines.AppendRecord(r.c[:0], want)
	if !bytes.Equal(r.a, r.c) {
		return &DiffersError{want.Position, fmt.Sprintf("%s of stream %.80q, which is not the same", named(&r.next), r.next.Stream)}
	}
	r.Known++
	r.Last = want.Position
	return r.advance()
}

// sameGone compares a stream that should be gone with what was there: a placeholder that
// was not taken away yet, or where the stream stands.
func (r *Restorer) sameGone(g *lines.Gone) error {
	if err := r.nothingBefore(g.Position); err != nil {
		return err
	}
	if r.nextOK && r.next.Position == g.Position {
		p := placeholder(g)
		if r.next.Stream != g.Stream || r.next.Type != p.Type || r.next.Version != p.Version || r.next.Epoch != p.Epoch {
			return &DiffersError{g.Position, fmt.Sprintf("%s of stream %.80q, where stream %.80q should be gone", named(&r.next), r.next.Stream, g.Stream)}
		}
		if h, err := r.b.Head(r.ctx, g.Stream); err != nil {
			return err
		} else if h.Version == g.Version {
			r.pending[g.Stream] = g.Version
		}
		r.Known++
		r.Last = g.Position
		return r.advance()
	}
	h, err := r.b.Head(r.ctx, g.Stream)
	if err != nil {
		return err
	}
	if h.Version < g.Version || h.Floor <= g.Version || h.Epoch < g.Epoch {
		return &DiffersError{g.Position, fmt.Sprintf("stream %.80q is at version %d and begins at %d, where all up to version %d should be gone", g.Stream, h.Version, h.Floor, g.Version)}
	}
	r.Known++
	r.Last = g.Position
	return nil
}

// nothingBefore checks that nothing was there that is not among the items.
func (r *Restorer) nothingBefore(at backend.Position) error {
	if r.nextOK && r.next.Position < at {
		return &DiffersError{r.next.Position, fmt.Sprintf("%s of stream %.80q, where nothing should be", named(&r.next), r.next.Stream)}
	}
	return nil
}

// named is what a record is, for an error.
func named(r *backend.Record) string { return fmt.Sprintf("%v %d", r.Kind, r.Version) }

// placeholder is the record that stands for a Gone until it is taken away.
func placeholder(g *lines.Gone) backend.Record {
	return backend.Record{Position: g.Position, Stream: g.Stream, Version: g.Version, Kind: backend.KindOf(g.Stream),
		Type: PlaceholderType, Time: time.Unix(0, 0).UTC(), Epoch: g.Epoch}
}

// putGone writes a placeholder, to be taken away before anything follows it.
func (r *Restorer) putGone(g *lines.Gone) error {
	if !r.b.Capabilities().Compact {
		return fmt.Errorf("%w: engine %s can't take streams away, and stream %.80q should be gone", backend.ErrUnsupported, r.b.Engine(), g.Stream)
	}
	p := placeholder(g)
	if err := r.put(&p); err != nil {
		return err
	}
	r.wait.gone++
	r.pending[g.Stream] = g.Version
	if len(r.pending) >= goneMost {
		return r.takeAway()
	}
	return nil
}

// put queues a record that comes behind all that is there.
func (r *Restorer) put(rec *backend.Record) error {
	if r.nextOK {
		return r.nothingBefore(rec.Position)
	}
	if _, waits := r.pending[rec.Stream]; waits {
		if err := r.takeAway(); err != nil {
			return err
		}
	}
	if most := r.b.Limits().RecordBytes; rec.Size() > most {
		return &ItemError{fmt.Errorf("%w: version %d of stream %.80q has %d bytes: the store takes at most %d", backend.ErrTooLarge, rec.Version, rec.Stream, rec.Size(), most)}
	}
	if r.wait.full(rec, r.b.Limits().BatchBytes) {
		if err := r.Flush(); err != nil {
			return err
		}
	}
	h, known := r.heads[rec.Stream]
	if !known {
		var err error
		if h, err = r.b.Head(r.ctx, rec.Stream); err != nil {
			return err
		}
	}
	if err := fits(h, rec); err != nil {
		return &ItemError{err}
	}
	r.heads[rec.Stream] = h.After(rec)
	r.wait.add(rec)
	return nil
}

// fits checks that a record follows where its stream stands, as [backend.Batch.Restore]
// wants it.
func fits(h backend.Head, rec *backend.Record) error {
	switch {
	case rec.Kind == backend.Snapshot && (rec.Version <= h.Version || h.Unreadable()):
		return nil
	case rec.Kind == backend.Snapshot:
		return fmt.Errorf("%w: a snapshot of version %d of stream %.80q, which is at version %d", backend.ErrConflict, rec.Version, rec.Stream, h.Version)
	case rec.Version == h.Version+1 || h.Unreadable() && rec.Version > h.Version:
		return nil
	}
	return fmt.Errorf("%w: version %d of stream %.80q follows version %d", backend.ErrConflict, rec.Version, rec.Stream, h.Version)
}

// Flush writes what waits, durably.
func (r *Restorer) Flush() error {
	w := &r.wait
	if len(w.records) == 0 {
		return nil
	}
	if err := w.write(r.ctx, r.b); err != nil {
		r.broken = true
		return err
	}
	r.Last = w.records[len(w.records)-1].Position
	r.Records += uint64(len(w.records)) - w.gone
	r.Gone += w.gone
	r.Bytes += w.bytes
	w.reset()
	clear(r.heads)
	return nil
}

// takeAway takes away the streams that are to be gone.
func (r *Restorer) takeAway() error {
	if err := r.Flush(); err != nil || len(r.pending) == 0 {
		return err
	}
	var cut backend.Cut
	for _, stream := range slices.Sorted(maps.Keys(r.pending)) {
		cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: stream, Floor: r.pending[stream] + 1, Delete: true})
	}
	if _, err := r.b.Compact(r.ctx, cut); err != nil {
		r.broken = true
		return err
	}
	clear(r.pending)
	return nil
}

// Finish ends a restore whose items are all put: it writes what waits, takes away what is
// to be gone, and sees to it that the store gives no position again up to last.
func (r *Restorer) Finish(last backend.Position) error {
	if r.nextOK && r.next.Position <= last && !isMarker(&r.next, last) {
		return r.nothingBefore(last + 1)
	}
	if err := r.takeAway(); err != nil {
		return err
	}
	at, err := r.b.Last(r.ctx)
	if err != nil || at >= last {
		return err
	}
	stream := backend.SystemStream(MarkerSystem, backend.Audit)
	h, err := r.b.Head(r.ctx, stream)
	if err != nil {
		return err
	}
	r.wait.add(&backend.Record{
		Position: last, Stream: stream, Version: h.Version + 1, Kind: backend.Audit, Type: "restored", Time: time.Unix(0, 0).UTC(), Epoch: h.Epoch,
		Payload: fmt.Appendf(nil, `{"last_position":%d}`, last),
	})
	return r.Flush()
}

func isMarker(r *backend.Record, last backend.Position) bool {
	return r.Position == last && r.Stream == backend.SystemStream(MarkerSystem, backend.Audit)
}

// Restore puts all that items yields into a store; last is the newest position that the
// other store has given, once the items are through. told is called after each with how
// far it is. An error leaves everything before the item that it is about in the store,
// unless the store itself failed.
func (r *Restorer) Restore(items iter.Seq2[lines.Line, error], last func() backend.Position, told func(Stats)) (err error) {
	return r.run(func(yield func(lines.Line, error) bool) {
		for item, err := range items {
			if err == nil {
				err = r.Put(item)
			}
			if !yield(item, err) || err != nil {
				return
			}
			told(r.Stats)
		}
	}, last)
}

// run goes through items that are put on the way, and ends the restore.
func (r *Restorer) run(put iter.Seq2[lines.Line, error], last func() backend.Position) error {
	for _, err := range put {
		if err != nil {
			if settleErr := r.settle(); settleErr != nil {
				err = errors.Join(err, settleErr)
			}
			return err
		}
	}
	return r.Finish(last())
}

// settle writes what waits, after an error that was not the store's, so that everything
// before it is there and nothing half done.
func (r *Restorer) settle() error {
	if r.broken {
		return nil
	}
	r.ctx = context.WithoutCancel(r.ctx)
	return r.takeAway()
}
