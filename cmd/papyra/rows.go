package main

import (
	"fmt"
)

// rows prints a list as it is read, however long: in JSON as one document with
// the list inside, which is closed properly also when the reading fails.
type rows struct {
	*app
	n     int
	limit int // 0: none
	more  bool
}

// beginRows starts a list; head is the JSON of the document's first fields.
func (a *app) beginRows(head any, list string, limit int) (*rows, error) {
	r := &rows{app: a, limit: limit}
	if a.format != formatJSON {
		return r, nil
	}
	doc, err := encode(head)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(a.out, "%s,%q:[", doc[:len(doc)-1], list)
	return r, err
}

// full reports whether the next row would be beyond the limit: there is more to
// show than was asked for.
func (r *rows) full() bool {
	r.more = r.limit > 0 && r.n == r.limit
	return r.more
}

// json prints one row that is JSON already.
func (r *rows) json(row []byte) error {
	sep := ",\n  "
	if r.n == 0 {
		sep = sep[1:]
	}
	r.n++
	if _, err := r.out.WriteString(sep); err != nil {
		return err
	}
	_, err := r.out.Write(escapeHidden(row))
	return err
}

// line prints one row of text.
func (r *rows) line(format string, args ...any) error {
	r.n++
	_, err := fmt.Fprintf(r.out, format, args...)
	return err
}

// end closes the list and hands on the error that ended the reading, if one did.
func (r *rows) end(err error) error {
	if r.format != formatJSON {
		return err
	}
	tail, encodeErr := encode(struct {
		Count int         `json:"count"`
		More  bool        `json:"more"`
		Error *errorShape `json:"error,omitempty"`
	}{r.n, r.more, shapeOf(err)})
	if encodeErr != nil {
		return encodeErr
	}
	if _, writeErr := fmt.Fprintf(r.out, "\n],%s\n", tail[1:]); writeErr != nil {
		return writeErr
	}
	return err
}

// note is a line for people below the rows; JSON says it in its own fields.
func (r *rows) note(format string, args ...any) error {
	if r.format == formatJSON {
		return nil
	}
	_, err := fmt.Fprintln(r.out, r.paint(dim, "… "+fmt.Sprintf(format, args...)))
	return err
}
