package file

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// What a quarantine gives up: a span, or what can't be read of it, and a log of which nothing
// is left.

// reachable returns why nothing can be said about a span: the file is there, perhaps whole,
// and the operating system does not let this process have it. That is no damage: what is given
// up then would be lost.
func (sp *span) reachable() error {
	_, err := sp.fileSize()
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO) || oddFile(err) {
		return nil
	}
	return openError("open "+sp.name, err)
}

// giveUp plans to save what is damaged in a span, and to pack the rest.
func (rc *recovery) giveUp(i int, sp *span, bad []backend.Anomaly) {
	size, err := sp.fileSize()
	switch {
	case errors.Is(err, syscall.EIO): // the next opening would remove the file
		saved := quarantineDir + "/" + sp.name
		rc.add("quarantine", sp.name, -1, 0, saved, "a span that the disk does not give: moved, not changed, and holes are marked for its records", func() error {
			if err := rc.s.moveAside(sp.name, saved); err != nil {
				return err
			}
			return rc.dropSpan(sp)
		})
		return
	case err != nil:
		rc.add("quarantine", sp.name, -1, 0, "", "a span that is lost: holes are marked for its records", func() error { return rc.dropSpan(sp) })
		return
	}
	for _, a := range bad {
		if a.Offset < 0 || a.Length <= 0 || a.Offset+a.Length > size || a.Code == backend.Unreadable {
			continue
		}
		rc.add("save", sp.name, a.Offset, a.Length, rc.folder, a.Detail, func() error {
			return sp.with(func(f disk.File) error {
				return rc.saveAnd(torn{&segment{id: sp.last, name: sp.name, file: f}, a.Offset, a.Offset + a.Length}, func() error { return nil })
			})
		})
	}
	rc.add("quarantine", sp.name, -1, 0, "", "what can be read of the span is packed again; holes are marked for the rest", func() error { return rc.packAgain(sp) })
}

// dropSpan takes a span that is lost out of the manifest.
func (rc *recovery) dropSpan(sp *span) error {
	s := rc.s
	lost := hole{from: sp.from, to: sp.to, marked: true, lost: backend.CorruptError{File: sp.name, Offset: -1, Position: sp.from, Detail: "quarantined: the file is lost"}}
	s.manifests.Lock()
	defer s.manifests.Unlock()
	if _, err := s.relist(func(m *manifest) {
		m.spans = slices.DeleteFunc(m.spans, func(i spanInfo) bool { return i.last == sp.last })
		m.holes = append(m.holes, lost)
	}); err != nil {
		return err
	}
	s.change(func(v *view) { v.spans = slices.DeleteFunc(v.spans, func(old *span) bool { return old == sp }) })
	return nil
}

// beginLog has the log begin anew, where nothing is left of it.
func (s *store) beginLog(start logStart, lost holes) error {
	s.manifests.Lock()
	defer s.manifests.Unlock()
	_, err := s.relist(func(m *manifest) { m.start, m.holes = start, append(m.holes, lost...) })
	return err
}
