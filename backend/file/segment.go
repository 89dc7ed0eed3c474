package file

import (
	"io"

	"github.com/papyra-go/papyra/backend/file/internal/disk"
)

// segment is one file of the log.
type segment struct {
	id, life uint64
	name     string
	seed     uint32    // group headers' checksums begin with it
	file     disk.File // nil if the file is not there
	odd      string    // what is there instead
	ordinal  uint32    // its place in index.segments

	// end is where the last group ends. Guarded by index.mu; groups below it are
	// durable and never change.
	end int64
	// laid is the size of the file; what lies above end is zeros. The appender's own.
	laid int64
}

func newSegment(store [16]byte, l listed, file disk.File) *segment {
	return &segment{id: l.id, life: l.life, name: segmentName(l.id), seed: lifeSeed(store, l.id, l.life), file: file, end: headerSize}
}

// window is a part of a segment in memory. Bytes that it hands out are valid until it
// is asked for others.
type window struct {
	ix  *index // not nil: only what it has published is read, so that what is kept stays true
	sg  *segment
	off int64
	buf []byte
}

// bytes returns n bytes of sg from off; fewer at the end of the file. What is not in the
// window is read, ahead bytes of it if that is more than n.
func (w *window) bytes(sg *segment, off int64, n, ahead int) ([]byte, error) {
	if w.sg != sg || off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		if err := w.read(sg, off, max(n, ahead)); err != nil {
			return nil, err
		}
	}
	from := int(off - w.off)
	to := min(from+n, len(w.buf))
	return w.buf[from:to:to], nil
}

func (w *window) read(sg *segment, off int64, n int) error {
	w.sg, w.off = nil, off
	if w.ix != nil {
		w.ix.mu.RLock()
		n = int(max(0, min(int64(n), sg.end-off)))
		w.ix.mu.RUnlock()
	}
	if sg.file == nil {
		w.buf = w.buf[:0]
		return unreadable(sg.name, off, errMissing)
	}
	if cap(w.buf) < n {
		w.buf = make([]byte, max(n, readSize))
	}
	got, err := sg.file.ReadAt(w.buf[:n], off)
	w.buf = w.buf[:got]
	if err != nil && err != io.EOF {
		w.buf = w.buf[:0]
		return unreadable(sg.name, off, err)
	}
	w.sg = sg
	return nil
}

// forget drops what the window holds.
func (w *window) forget() { w.sg, w.buf = nil, w.buf[:0] }
