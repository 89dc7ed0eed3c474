package file

import (
	"io"
	"sync"

	"github.com/papyra-go/papyra/backend/internal/disk"
)

// segment is one file of the log.
type segment struct {
	id, life uint64
	name     string
	seed     uint32    // group headers' checksums begin with it
	file     disk.File // nil if the file is not there
	odd      string    // what is there instead
	use      usage

	// Guarded by store.mu. Groups below end are durable and never change.
	end   int64 // where the last group ends
	full  bool  // no group is written to it any more
	table *table

	laid    int64 // the size of the file; what lies above end is zeros. The appender's own
	ordinal int   // its place in the walk. The walker's own

	mended map[int64][]byte // by offset, headers and records as they should be, where one byte is wrong: see walker.patch
}

func newSegment(store [16]byte, l listed, file disk.File) *segment {
	return &segment{id: l.id, life: l.life, name: segmentName(l.id), seed: lifeSeed(store, l.id, l.life), file: file, end: headerSize, table: newTable()}
}

// window is a part of a file in memory. Bytes that it hands out are valid until it is
// asked for others.
type window struct {
	mu  *sync.RWMutex // not nil: of a segment only what is published is read, so that what is kept stays true
	of  any           // whose bytes it holds
	off int64
	buf []byte
}

// bytes returns n bytes of sg from off; fewer at the end of the file. What is not in the
// window is read, ahead bytes of it if that is more than n.
func (w *window) bytes(sg *segment, off int64, n, ahead int) ([]byte, error) {
	if !w.has(sg, off, n) {
		limit := int64(-1)
		if w.mu != nil {
			w.mu.RLock()
			limit = sg.end
			w.mu.RUnlock()
		}
		if sg.file == nil {
			w.forget()
			return nil, unreadable(sg.name, off, errMissing)
		}
		if err := w.read(sg, sg.file, sg.name, off, max(n, ahead), limit); err != nil {
			return nil, err
		}
	}
	return w.part(off, n), nil
}

// has reports whether the window holds n bytes of a file from off.
func (w *window) has(of any, off int64, n int) bool {
	return w.of == of && off >= w.off && off+int64(n) <= w.off+int64(len(w.buf))
}

// part returns n bytes from off, or as many of them as there are.
func (w *window) part(off int64, n int) []byte {
	from := int(off - w.off)
	to := min(from+n, len(w.buf))
	return w.buf[from:to:to]
}

// read fills the window with n bytes from off, not beyond limit if that is not negative.
func (w *window) read(of any, file io.ReaderAt, name string, off int64, n int, limit int64) error {
	w.of, w.off = nil, off
	if limit >= 0 {
		n = int(max(0, min(int64(n), limit-off)))
	}
	if cap(w.buf) < n {
		w.buf = make([]byte, max(n, readSize))
	}
	got, err := file.ReadAt(w.buf[:n], off)
	w.buf = w.buf[:got]
	if err != nil && err != io.EOF {
		w.forget()
		return unreadable(name, off, err)
	}
	w.of = of
	return nil
}

// forget drops what the window holds.
func (w *window) forget() { w.of, w.buf = nil, w.buf[:0] }
