package file

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/disk"
)

// newUUID returns a random UUID, of version 4.
func newUUID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // it never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// save copies an extent to a directory, durably, and returns the name of the copy. The
// name says where the bytes were and what they are, so that doing it twice is doing it
// once.
func save(dir disk.FS, t torn, to disk.FS, folder string) (name string, err error) {
	sum := uint32(0)
	err = t.pieces(func(_ int64, b []byte) error {
		sum = crc32.Update(sum, castagnoli, b)
		return nil
	})
	if err != nil {
		return "", err
	}
	if to == dir {
		err = dir.Mkdir(folder)
		if err == nil {
			err = dir.SyncDir(".")
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	name = saveName(t, sum)
	if folder != "." {
		name = folder + "/" + name
	}
	_, err = replaceWith(to, folder, name, func(f disk.File) error {
		if err := f.Truncate(t.to - t.from); err != nil {
			return err
		}
		return t.pieces(func(at int64, b []byte) error {
			if zero(b) { // a hole in the copy, as it may be one in the segment
				return nil
			}
			_, err := f.WriteAt(b, at)
			return err
		})
	})
	if err != nil {
		return "", err
	}
	return name, nil
}

// pieces hands out the bytes of an extent, in pieces that fit into memory. A piece is
// good until the next.
func (t torn) pieces(do func(at int64, b []byte) error) error {
	b := make([]byte, min(t.to-t.from, layMost))
	for off := t.from; off < t.to; off += int64(len(b)) {
		b = b[:min(t.to-off, layMost)]
		if _, err := t.sg.file.ReadAt(b, off); err != nil {
			return unreadable(t.sg.name, off, err)
		}
		if err := do(off-t.from, b); err != nil {
			return err
		}
	}
	return nil
}

func saveName(t torn, sum uint32) string {
	return fmt.Sprintf("%08d-%d-%d-%08x.bytes", t.sg.id, t.from, t.to-t.from, sum)
}

// step is one thing that a recovery does.
type step struct {
	backend.RecoveryAction
	do func() error
}

// Recover does, with mode Repair, what loses nothing: it cuts a torn tail, if opening
// has not, and makes again what can be derived. A dry run says the same and does
// nothing. Damage to the log is left as it is. It stops at the first step that fails;
// run again, it goes on from there.
func (s *store) Recover(_ context.Context, plan backend.RecoveryPlan) (stats backend.RecoveryStats, err error) {
	if plan.Mode != backend.Repair {
		return stats, fmt.Errorf("%w: engine file does not recover with mode %v yet", backend.ErrUnsupported, plan.Mode)
	}
	to, folder := s.dir, quarantineDir
	if plan.QuarantineDir != "" && !plan.DryRun {
		if to, err = disk.OpenDir(plan.QuarantineDir, true); err != nil {
			return stats, openError("open the quarantine directory", err)
		}
		defer to.Close()
		folder = "."
	}
	steps, err := s.repairs(to, folder)
	if err != nil {
		return stats, openError("plan", err)
	}
	for _, st := range steps {
		if !plan.DryRun {
			if err := st.do(); err != nil {
				return stats, openError(st.Action+" "+st.File, err)
			}
		}
		stats.Actions = append(stats.Actions, st.RecoveryAction)
	}
	return stats, nil
}

// repairs returns what is to be done.
func (s *store) repairs(to disk.FS, folder string) (steps []step, err error) {
	add := func(action, file string, off, n int64, saved, detail string, do func() error) {
		steps = append(steps, step{backend.RecoveryAction{Action: action, File: file, Offset: off, Length: n, Saved: saved, Detail: detail}, do})
	}
	if t := s.tail; t.sg != nil {
		add("cut", t.sg.name, t.from, t.to-t.from, folder, "the torn tail: saved, then zeroed", func() error { return s.cutTail(t, to, folder) })
	}
	for _, a := range s.findings {
		sg := s.named(a.File)
		switch {
		case sg == nil:
		case a.Code == backend.StrayBytes && a.Severity == backend.Warning:
			t := torn{sg, a.Offset, a.Offset + a.Length}
			add("cut", sg.name, a.Offset, a.Length, folder, "bytes where the log has left the segment: saved, then zeroed", func() error {
				_, err := save(s.dir, t, to, folder)
				return errors.Join(err, s.done(a, err, func() error { return zeroOut(t) }))
			})
		case a.Code == backend.BadHeader && a.Offset == 0 && a.Severity == backend.Warning:
			add("rebuild", sg.name, 0, headerSize, "", "the segment's header, from the manifest", func() error {
				return s.done(a, nil, func() error { return s.rewriteHeader(sg) })
			})
		}
	}
	ms, err := readMarks(s.dir, s.uuid)
	if err != nil {
		return nil, err
	}
	if len(ms.found) > 0 && !(ms.ok && ms.newest.sequence > s.proof.sequence) {
		add("rebuild", markName, 0, markSize, "", "the mark, at the end of the log", s.rebuildMark)
	}
	return steps, s.tidy(add)
}

// done does f unless err says that the step before it failed, and forgets the finding.
func (s *store) done(a backend.Anomaly, err error, f func() error) error {
	if err != nil {
		return nil
	}
	if err := f(); err != nil {
		return err
	}
	for i := range s.findings {
		if s.findings[i] == a {
			s.findings = append(s.findings[:i:i], s.findings[i+1:]...)
			break
		}
	}
	return nil
}

func (s *store) named(name string) *segment {
	for _, sg := range s.index.segments {
		if sg.name == name && sg.file != nil {
			return sg
		}
	}
	return nil
}

// rewriteHeader writes a segment's first page again: the manifest holds all that it
// says.
func (s *store) rewriteHeader(sg *segment) error {
	h := segmentHeader{format: FormatVersion, store: s.uuid, id: sg.id, life: sg.life}
	if sg.ordinal > 0 {
		h.previous = s.index.segments[sg.ordinal-1].id
	}
	if _, err := sg.file.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	return sg.file.Sync()
}

// rebuildMark makes MARK anew, at the end of the log.
func (s *store) rebuildMark() error {
	m := &s.marker
	m.mu.Lock()
	defer m.mu.Unlock()
	next := s.end().mark
	next.store, next.generation = s.uuid, m.newest.generation+1
	if _, err := replace(s.dir, markName, newMarkFile(next)); err != nil {
		return err
	}
	if m.file != nil {
		if err := m.file.Close(); err != nil {
			return err
		}
	}
	var err error
	m.file, err = s.dir.Open(markName, os.O_RDWR)
	m.newest, m.slot = next, 0
	return err
}

// tidy adds steps for files that do not belong into the directory: what a crash left
// goes, what is not known moves to the quarantine.
func (s *store) tidy(add func(action, file string, off, n int64, saved, detail string, do func() error)) error {
	entries, err := s.dir.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		_, isSegment := segmentID(e.Name)
		switch {
		case isRubbish(e.Name):
			add("remove", e.Name, -1, 0, "", "what a crash left of a file that was being written", func() error {
				if err := s.dir.Remove(e.Name); !errors.Is(err, fs.ErrNotExist) { // a step before may have written the file itself anew
					return err
				}
				return nil
			})
		case !isSegment && !ours(e.Name) && e.Mode.IsRegular():
			saved := quarantineDir + "/" + e.Name
			add("quarantine", e.Name, -1, 0, saved, "a file that is not the store's: moved, not changed", func() error { return s.moveAside(e.Name, saved) })
		}
	}
	return nil
}

func (s *store) moveAside(name, to string) error {
	if err := s.dir.Mkdir(quarantineDir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := s.dir.Open(to, os.O_RDONLY)
	if err == nil {
		err = f.Close()
	}
	if err == nil || oddFile(err) {
		return fmt.Errorf("%w: %s is there already", backend.ErrInvalid, to)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.dir.Rename(name, to); err != nil {
		return err
	}
	return errors.Join(s.dir.SyncDir(quarantineDir), s.dir.SyncDir("."))
}
