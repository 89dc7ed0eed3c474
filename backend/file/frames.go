package file

import (
	"encoding/binary"
	"fmt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// load reads the record whose frame is at off, and ahead bytes if they must be read
// anyway.
func (sp *span) load(w *window, d *codec.Decoder, off int64, ahead int, r *backend.Record) error {
	_, head, n, err := sp.hop(w, off, sp.frames, ahead)
	if err == nil {
		var b []byte
		if b, err = sp.bytes(w, off, n, ahead); err == nil {
			err = sp.decode(b, head, d, r)
		}
	}
	if err != nil {
		return corruptRecord(sp.name, off, int64(n), r, err)
	}
	return nil
}

// decode reads the record of a frame, whose envelope begins at head.
func (sp *span) decode(frame []byte, head int, d *codec.Decoder, r *backend.Record) error {
	rel, _ := binary.Uvarint(frame)
	_, err := d.Decode(frame[head:], sp.from+backend.Position(rel), sp.base, r)
	return err
}

// dense reports whether the stream's versions in the span have no gaps.
func (e *entry) dense() bool { return e.count > 0 && e.first+backend.Version(e.count)-1 == e.Version }

// spots appends where the records of a stream are: e.count numbered ones, then e.snaps
// snapshots, whose versions are known only once they are read, and so are those of a
// stream with gaps. A frame that can't be stepped over is an error.
func (sp *span) spots(w *window, d *codec.Decoder, e *entry, to []spot) ([]spot, error) {
	end := e.off + e.size
	off, dense := e.off, e.dense()
	var r backend.Record
	for i := range e.count + e.snaps {
		rel, head, n, err := sp.hop(w, off, end, int(min(end-off, readSize)))
		if err != nil {
			return to, corruptRecord(sp.name, off, int64(n), &backend.Record{}, err)
		}
		at := spot{place: place{position: sp.from + backend.Position(rel)}, off: off}
		if dense && i < e.count {
			at.version = e.first + backend.Version(i)
		} else {
			b, err := sp.bytes(w, off, n, 0)
			if err == nil {
				err = sp.decode(b, head, d, &r)
			}
			if err != nil && r.Stream == "" {
				return to, corruptRecord(sp.name, off, int64(n), &r, err)
			}
			at.version = r.Version
		}
		to = append(to, at)
		off += int64(n)
	}
	if off != end {
		return to, &backend.CorruptError{File: sp.name, Offset: off, Length: end - off, Detail: fmt.Sprintf("%d bytes follow a stream's %d records", end-off, e.count+e.snaps)}
	}
	return to, nil
}
