package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
)

// Writer writes an export's lines.
type Writer struct {
	lines.End
	First backend.Position // of the first record
	Bytes int64            // of all lines
	w     io.Writer
	sum   hash.Hash
	line  []byte
}

// NewWriter returns a writer and writes the head line.
func NewWriter(w io.Writer, head lines.Head) (*Writer, error) {
	x := &Writer{w: w, sum: sha256.New()}
	head.Format = lines.Format
	return x, x.write(lines.AppendHead(nil, &head))
}

func (x *Writer) write(line []byte) error {
	line = append(line, '\n')
	x.sum.Write(line)
	n, err := x.w.Write(line)
	x.Bytes += int64(n)
	if err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	return nil
}

// Put writes one item.
func (x *Writer) Put(item lines.Line) error {
	if g := item.Gone; g != nil {
		x.line = lines.AppendGone(x.line[:0], g)
		x.Gone++
		return x.write(x.line)
	}
	r := item.Record
	if x.Records == 0 {
		x.First = r.Position
	}
	x.Records++
	x.Last = r.Position
	x.line = lines.AppendRecord(x.line[:0], r)
	return x.write(x.line)
}

// Finish writes the last line. last is the newest position that the store has given;
// zero, of a part, stands for that of the last record.
func (x *Writer) Finish(last backend.Position) error {
	e := x.End
	if e.Sum = hex.EncodeToString(x.sum.Sum(nil)); last > 0 {
		e.Last = last
	}
	return x.write(lines.AppendEnd(nil, &e))
}

// LineError is a line that is not what it should be.
type LineError struct {
	File string // as the caller names it
	Line int
	Err  error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s line %d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// Export is an export that is read. Its items are those of the store that it was made of;
// everything else about it is checked on the way: that lines are as they were written,
// positions rise, and the last line agrees with all before.
type Export struct {
	Head lines.Head
	End  lines.End // once the items are through
	name string
	r    *lines.Reader
	d    lines.Decoder
	sum  hash.Hash
}

// ReadExport begins to read an export: its head line. name is for errors.
func ReadExport(r *lines.Reader, name string) (*Export, error) {
	x := &Export{name: name, r: r, sum: sha256.New()}
	l, err := x.next()
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("%s is empty: an export has a head line and a last line", name)
	case err != nil:
		return nil, err
	case r.Marked():
		return nil, x.wrong(errors.New("a byte order mark stands before it: the file was changed by an editor"))
	case l.Head == nil:
		return nil, x.wrong(errors.New(`want the head line, {"export":1}: the beginning of the export is missing`))
	}
	x.Head = *l.Head
	return x, nil
}

// wrong is err with the line that was read last.
func (x *Export) wrong(err error) error { return &LineError{x.name, x.r.Number(), err} }

// next decodes the next line.
func (x *Export) next() (lines.Line, error) {
	number := x.r.Number() + 1
	line, err := x.r.Next()
	if err == io.EOF {
		return lines.Line{}, io.EOF
	}
	if err != nil {
		return lines.Line{}, &LineError{x.name, number, err}
	}
	l, err := x.d.Decode(line)
	if n := len(line); err != nil && n > 0 && line[n-1] == '\r' {
		err = errors.New("it ends with CR LF: the file was changed by an editor or a transfer in text mode")
	}
	if err != nil {
		return l, x.wrong(err)
	}
	if l.End == nil {
		x.sum.Write(line)
		x.sum.Write([]byte{'\n'})
	}
	return l, nil
}

// Items yields the export's items. What one holds is good until the loop goes on.
func (x *Export) Items() iter.Seq2[lines.Line, error] {
	return func(yield func(lines.Line, error) bool) {
		for {
			l, err := x.next()
			switch {
			case err == io.EOF:
				err = &LineError{x.name, x.r.Number(), errors.New("the export ends here, without its last line: it is cut off")}
			case err != nil:
			case l.Head != nil:
				err = x.wrong(errors.New("a second head line: one export to a file"))
			case l.End != nil:
				if err = x.end(l.End); err == nil {
					return
				}
			default:
				err = x.check(l)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// check judges an item by those before it.
func (x *Export) check(l lines.Line) error {
	at := positionOf(l)
	if at <= x.End.Last {
		return x.wrong(fmt.Errorf("position %d does not follow position %d", at, x.End.Last))
	}
	if at < x.Head.From || x.Head.To > 0 && at > x.Head.To {
		return x.wrong(fmt.Errorf("position %d is not one of those that the head line says", at))
	}
	x.End.Last = at
	if l.Gone == nil {
		x.End.Records++
		return nil
	}
	x.End.Gone++
	if !x.Head.Whole() {
		return x.wrong(errors.New("a stream that is gone, in an export that is not whole"))
	}
	return nil
}

// end judges the last line.
func (x *Export) end(e *lines.End) error {
	switch {
	case e.Records != x.End.Records || e.Gone != x.End.Gone:
		return x.wrong(fmt.Errorf("the last line counts %d records and %d streams that are gone, and %d and %d stand before it: lines were lost or added", e.Records, e.Gone, x.End.Records, x.End.Gone))
	case e.Last > backend.MaxNumber:
		return x.wrong(fmt.Errorf("last_position is %d: want at most %d", e.Last, uint64(backend.MaxNumber)))
	case e.Last < x.End.Last:
		return x.wrong(fmt.Errorf("last_position is %d, and position %d stands before it", e.Last, x.End.Last))
	case e.Sum != "" && e.Sum != hex.EncodeToString(x.sum.Sum(nil)):
		return x.wrong(errors.New("sha256 is not that of the lines before it: something in them was changed"))
	}
	x.End = *e
	number := x.r.Number() + 1
	switch _, err := x.r.Next(); {
	case err == nil:
		return x.wrong(errors.New("it follows the last line of the export"))
	case err != io.EOF:
		return &LineError{x.name, number, err}
	}
	return nil
}

// Import puts an export's items into a store: see [Restorer.Restore]. What is wrong with
// an item by itself, or does not follow what is there, is told with its line.
func (r *Restorer) Import(x *Export, told func(Stats)) error {
	items := func(yield func(lines.Line, error) bool) {
		for item, err := range x.Items() {
			if err == nil {
				if err = r.Put(item); errors.As(err, new(*ItemError)) {
					err = x.wrong(err)
				}
			}
			if !yield(lines.Line{}, err) || err != nil {
				return
			}
			told(r.Stats)
		}
	}
	return r.run(items, func() backend.Position { return x.End.Last })
}
