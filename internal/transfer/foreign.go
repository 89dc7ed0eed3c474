package transfer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/papyra-go/papyra/backend"
)

// Foreign makes records of lines that were no papyra store's.
type Foreign interface {
	// Name is the format's, as --from says it.
	Name() string
	// Decode fills in a record but for its payload, which is the line, and returns pairs
	// for its meta. A record without a time gets that of the import. The error says what
	// is wrong with the line.
	Decode(line []byte, r *backend.Record) (meta []string, err error)
}

// The meta of a record that was imported: of which format it was, and which line of which
// file, as its base name and its number.
const (
	metaFrom = "import.from"
	metaFile = "import.file"
	metaLine = "import.line"
)

// Appender appends the records of foreign lines to a store, in their order. If the store's
// newest record is one of an earlier import of the same lines, it goes on behind it: an
// import that was interrupted is completed, and one that is complete adds nothing.
type Appender struct {
	Stats
	ctx    context.Context
	b      *backend.Backend
	format Foreign
	wait   waiting
	reach  *backend.Record // the last that was there; nil: all that came before it are through
	at     [2]string       // its file and line
}

// ErrNotEmpty: the store holds records that are not those of the import.
var ErrNotEmpty = errors.New("the store holds records of something else")

// NewAppender begins an import into b. A store that holds something whose newest record is
// none of an import of that format is [ErrNotEmpty], unless beside is set: then the import
// goes behind what there is, all of it.
func NewAppender(ctx context.Context, b *backend.Backend, format Foreign, beside bool) (*Appender, error) {
	a := &Appender{ctx: ctx, b: b, format: format, wait: waiting{foreign: true}}
	for r, err := range b.Read(ctx, backend.Query{Reverse: true, Limit: 1, Kinds: backend.AllKinds}) {
		if err != nil {
			return nil, err
		}
		a.Last = r.Position
		if from, _ := r.Meta.Get(metaFrom); from == format.Name() {
			kept := r.Clone()
			a.reach = &kept
			a.at[0], _ = r.Meta.Get(metaFile)
			a.at[1], _ = r.Meta.Get(metaLine)
		}
	}
	last, err := b.Last(ctx)
	if err != nil {
		return nil, err
	}
	if beside {
		a.reach = nil
	} else if last > 0 && a.reach == nil {
		return nil, ErrNotEmpty
	}
	return a, nil
}

// Line imports one line of a file, which is called by its base name. An error that wraps
// [backend.ErrInvalid] is about the line alone; any other ends the import.
func (a *Appender) Line(file string, number int, line []byte) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	n := strconv.Itoa(number)
	if a.reach != nil && [2]string{file, n} == a.at {
		if string(a.reach.Payload) != string(line) {
			return &DiffersError{a.reach.Position, fmt.Sprintf("the last record is line %s of %s as it was before, and that line is another now", n, file)}
		}
		if at := uint64(a.reach.Position); a.Known >= at {
			return &DiffersError{a.reach.Position, fmt.Sprintf("line %s of %s, and here %d lines go before it, not all of which can be in the store: name the files of the first import, in its order", n, file, a.Known)}
		}
		a.reach = nil
		a.Known++
		return nil
	}
	var r backend.Record
	if err := a.decode(file, n, line, &r); err != nil {
		return fmt.Errorf("%w line: %w", backend.ErrInvalid, err)
	}
	if a.reach != nil {
		a.Known++
		return nil
	}
	if a.wait.full(&r, a.b.Limits().BatchBytes) {
		if err := a.Flush(); err != nil {
			return err
		}
	}
	a.wait.add(&r)
	return nil
}

// decode makes a record of a line, which is one that the store takes.
func (a *Appender) decode(file, number string, line []byte, r *backend.Record) error {
	return decodeForeign(a.format, a.b.Limits(), file, number, line, r)
}

// CheckForeign reports why a line can't be imported, as Line would, and writes nothing.
func CheckForeign(format Foreign, limits backend.Limits, file string, number int, line []byte) error {
	return decodeForeign(format, limits, file, strconv.Itoa(number), line, new(backend.Record))
}

func decodeForeign(format Foreign, limits backend.Limits, file, number string, line []byte, r *backend.Record) error {
	if len(strings.TrimSpace(string(line[:min(len(line), 64)]))) == 0 && len(strings.TrimSpace(string(line))) == 0 {
		return errors.New("the line is empty")
	}
	if !utf8.Valid(line) {
		return errors.New("not JSON: bytes that are no UTF-8")
	}
	meta, err := format.Decode(line, r)
	if err != nil {
		return err
	}
	r.Payload = line
	if r.Meta, err = backend.MakeMeta(append(meta, metaFrom, format.Name(), metaFile, file, metaLine, number)...); err != nil {
		return err
	}
	if err := backend.CheckStream(r.Stream); err != nil {
		return err
	}
	r.Kind = backend.KindOf(r.Stream)
	switch {
	case len(r.Type) > backend.MaxTypeBytes:
		return fmt.Errorf("type of %d bytes: at most %d", len(r.Type), backend.MaxTypeBytes)
	case strings.IndexByte(r.Type, 0) >= 0:
		return fmt.Errorf("type %.80q holds a NUL byte", r.Type)
	case r.Size() > limits.RecordBytes:
		return fmt.Errorf("a record of %d bytes: the store takes at most %d", r.Size(), limits.RecordBytes)
	}
	return nil
}

// Flush writes what waits, durably.
func (a *Appender) Flush() error {
	n := uint64(len(a.wait.records))
	if n == 0 {
		return nil
	}
	if err := a.wait.write(a.ctx, a.b); err != nil {
		return err
	}
	a.Records += n
	a.Bytes += a.wait.bytes
	a.wait.reset()
	return nil
}

// Finish ends an import whose lines are all through.
func (a *Appender) Finish() error {
	if a.reach != nil {
		return fmt.Errorf("%w: the newest is line %s of %s, which is not among these files", ErrNotEmpty, a.at[1], a.at[0])
	}
	return a.Flush()
}
