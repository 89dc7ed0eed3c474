package file

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// heads is a file that tells of many streams where each stands behind the newest span
// that has it: a table of package sorted, name → standing. Each packing adds one, and
// merges those that are not much larger, so that there are few: a stream is looked for in
// the newest first. All of it follows from the tables of the spans.
type heads struct {
	headsInfo
	name string
	dir  disk.FS
	seed uint32
	use  usage

	leaves *sorted.Cache

	mu    sync.Mutex
	file  disk.File
	table *sorted.Table
}

// headsInfo is what the manifest says of one.
type headsInfo struct {
	generation uint64
	size       int64
	streams    uint64
}

func (s *store) newHeads(info headsInfo) *heads {
	return &heads{headsInfo: info, name: headsName(info.generation), dir: s.dir, seed: lifeSeed(s.uuid, info.generation, 0), leaves: s.leaves}
}

func (h *heads) open() (*sorted.Table, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		f, err := h.dir.Open(h.name, os.O_RDONLY)
		if err != nil {
			return nil, unreadable(h.name, 0, err)
		}
		size, err := f.Size()
		if err == nil && size != h.size {
			err = fmt.Errorf("%d bytes, the manifest says %d", size, h.size)
		}
		if err != nil {
			return nil, errors.Join(unreadable(h.name, 0, err), f.Close())
		}
		h.file, h.table = f, sorted.Open(f, 0, h.size, h.seed)
		h.table.Keep(h.leaves)
	}
	return h.table, nil
}

func (h *heads) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	err := h.file.Close()
	h.file, h.table = nil, nil
	return err
}

// asBlock reports whether err names a block of a table.
func asBlock(err error, be **sorted.BlockError) bool { return errors.As(err, be) }

// standing returns where a stream stands behind the spans of a view. If the heads can't
// be read it is looked for in the spans themselves, from which they follow.
func (v *view) standing(name string) (h standing, err error) {
	if len(v.heads) == 0 {
		return v.search(name)
	}
	for _, run := range v.heads {
		table, err := run.open()
		if err != nil {
			return v.search(name)
		}
		var room [96]byte
		b, ok, err := table.Get(name, room[:0])
		if err == nil && ok {
			_, err = h.parse(b)
		}
		if err != nil {
			return v.search(name)
		}
		if ok {
			return h, nil
		}
	}
	return standing{}, nil
}

// search looks for a stream in the spans, newest first.
func (v *view) search(name string) (standing, error) {
	for i := len(v.spans) - 1; i >= 0; i-- {
		e, ok, err := v.spans[i].find(name)
		if err != nil {
			return standing{}, err
		}
		if ok {
			return e.newest(v.spans[i].last), nil
		}
	}
	return standing{}, nil
}

// older returns the newest span before a segment's in which a stream is, and what it says
// of it; nil if there is none.
func (v *view) older(id uint64, name string) (sp *span, e entry, err error) {
	for i := len(v.spans) - 1; i >= 0; i-- {
		if sp = v.spans[i]; sp.last >= id {
			continue
		}
		e, ok, err := sp.find(name)
		if ok || err != nil {
			return sp, e, err
		}
	}
	return nil, e, nil
}

// holding returns the span that covers a segment, and what it says of a stream that should
// be in it. If the span was given up it is the newest before.
func (v *view) holding(id uint64, name string) (sp *span, e entry, err error) {
	if sp = v.span(id); sp == nil {
		return v.older(id, name)
	}
	e, ok, err := sp.find(name)
	if err == nil && !ok {
		err = &backend.CorruptError{File: sp.name, Offset: sp.skipsEnd(), Stream: name, Detail: "the stream should be in the span's table, and is not"}
	}
	return sp, e, err
}

// standing returns where a stream stands now, and where its newest record that is known
// is: 0 if none is.
func (s *store) standing(v *view, name string) (h standing, last backend.Position, err error) {
	if len(v.spans)+len(v.heads) > 0 {
		if h, err = v.standing(name); err != nil {
			return h, 0, err
		}
		if h != (standing{}) {
			last = v.packed()
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sg := range v.segments {
		if st := sg.table.streams[name]; st != nil {
			h = h.after(st, sg.id)
			last = max(last, st.last)
		}
	}
	return h, last, nil
}
