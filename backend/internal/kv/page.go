package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// A read goes page by page: what a view has found is yielded when the view has ended, so
// that nobody's loop body keeps one open, or calls for another inside it.
const (
	pageRecords = 1024
	pageBytes   = 1 << 20
)

// page holds the records that one view has found. Their bytes are the page's.
type page struct {
	buffers
	records []backend.Record
	bytes   []byte
	decoder codec.Decoder
}

var pages = sync.Pool{New: func() any { return new(page) }}

func (l *Log) getPage() *page {
	p := pages.Get().(*page)
	p.decoder.Seed = l.codec
	p.reset()
	return p
}

func (p *page) reset() { p.records, p.bytes = p.records[:0], p.bytes[:0] }

// free gives the page back; one that grew large is dropped.
func (p *page) free() {
	if cap(p.bytes) > 4*pageBytes {
		return
	}
	clear(p.records)
	pages.Put(p)
}

func (p *page) full() bool { return len(p.records) >= pageRecords || len(p.bytes) >= pageBytes }

// reading is one call of Read: it fills page after page.
type reading struct {
	*page
	ctx    context.Context
	l      *Log
	q      backend.Query // what is left of it
	left   int           // records left to yield; -1: no limit
	looked int           // at so many records
	done   bool
}

// lookEach is how many records a read looks at, whether it wants them or not, before it
// looks at its context.
const lookEach = 256

// ended returns why the read is to end, now and then.
func (r *reading) ended() error {
	if r.looked++; r.looked%lookEach == 0 && r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return nil
}

// take adds a record to the page, and reports whether that is all of what is wanted or as
// much as a page holds.
func (r *reading) take(rec backend.Record) (full bool) {
	r.records = append(r.records, rec)
	if r.left > 0 {
		if r.left--; r.left == 0 {
			r.done = true
			return true
		}
	}
	return r.full()
}

// Read yields what q asks for.
func (l *Log) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		if q.From > q.To {
			return
		}
		r := &reading{page: l.getPage(), ctx: ctx, l: l, q: q, left: -1}
		defer r.page.free()
		if q.Limit > 0 {
			r.left = q.Limit
		}
		fill := r.places()
		switch {
		case q.Stream != "" && q.Kinds.Has(backend.Snapshot):
			fill = r.snapshots()
		case q.Stream != "":
			fill = r.versions()
		}
		for !r.done {
			r.reset()
			var err error
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err == nil {
				err = l.engine.View(fill)
			}
			for i := range r.records {
				if !yield(r.records[i], nil) {
					return
				}
			}
			if err != nil {
				yield(backend.Record{}, err)
				return
			}
		}
	}
}

// decode reads the record of a stream and version from its value, which lies in the page's
// bytes. v and p are what the key says; p zero: it does not.
func (r *reading) decode(value []byte, stream string, v backend.Version, p backend.Position, rec *backend.Record) error {
	return r.l.decode(&r.decoder, value, stream, v, p, rec)
}

func (l *Log) decode(d *codec.Decoder, value []byte, stream string, v backend.Version, p backend.Position, rec *backend.Record) error {
	if len(value) < 8 {
		return l.corrupt(stream, v, p, "the record: %v", errShort)
	}
	at := backend.Position(binary.BigEndian.Uint64(value))
	if p == 0 {
		p = at
	}
	if isLost(value) {
		return l.corrupt(stream, v, p, "the record is lost: quarantined")
	}
	if at != p {
		return l.corrupt(stream, v, p, "the record says that it is at position %d", at)
	}
	n, err := d.Decode(value[8:], p, l.store.created, rec)
	switch {
	case errors.Is(err, codec.ErrShort):
		return l.corrupt(stream, v, p, "%v", err)
	case errors.Is(err, backend.ErrFormat):
		return fmt.Errorf("stream %q version %d: %w", stream, v, err)
	case err != nil:
		return l.corrupt(stream, v, p, "%v", detail(err))
	case n != len(value)-8:
		return l.corrupt(stream, v, p, "%d bytes follow the record", len(value)-8-n)
	case rec.Stream != stream || rec.Version != v:
		return l.corrupt(stream, v, p, "the record of stream %q version %d stands here", rec.Stream, rec.Version)
	}
	return nil
}

// detail is what an error of codec says besides its sentinel.
func detail(err error) string {
	const prefix = "corrupt: "
	if s := err.Error(); len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return err.Error()
}
