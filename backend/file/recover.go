package file

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
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

// Recover does, with mode Repair, what loses nothing: it cuts a torn tail, if opening
// has not, and makes again what can be derived. With mode Quarantine it also gives up what
// can't be read: the damaged bytes are saved, everything else is packed into new spans,
// and a hole is marked in the manifest. A dry run says the same and does nothing. It stops
// at the first step that fails; run again, it goes on from there.
func (s *store) Recover(ctx context.Context, plan backend.RecoveryPlan) (stats backend.RecoveryStats, err error) {
	s.sealer.stop(0)
	s.preparer.wait.Wait()
	defer s.pauseMarking()()
	s.reshape.Lock()
	defer s.reshape.Unlock()
	rc := &recovery{s: s, ctx: ctx, to: s.dir, folder: quarantineDir, v: s.pin()}
	unpin := sync.OnceFunc(func() { s.unpin(rc.v) })
	defer unpin()
	if plan.QuarantineDir != "" && !plan.DryRun {
		if rc.to, err = disk.OpenDir(plan.QuarantineDir, true); err != nil {
			return stats, openError("open the quarantine directory", err)
		}
		defer rc.to.Close()
		rc.folder = "."
	}
	if err = rc.look(); err == nil {
		err = rc.repairs()
	}
	if err == nil && plan.Mode == backend.Quarantine {
		err = rc.quarantine()
	}
	if err != nil {
		return stats, openError("plan", err)
	}
	for _, st := range rc.steps {
		if !plan.DryRun {
			if err := st.do(); err != nil { // what was done stands: begin anew with it
				unpin()
				return stats, openError(st.Action+" "+st.File, errors.Join(err, s.restart(ctx)))
			}
		}
		stats.Actions = append(stats.Actions, st.RecoveryAction)
	}
	if plan.DryRun || len(rc.steps) == 0 {
		return stats, nil
	}
	unpin()
	return stats, openError("open again", s.restart(ctx))
}

// recovery is a store being recovered: what was found, and what is to be done.
type recovery struct {
	s      *store
	ctx    context.Context
	to     disk.FS // where damaged bytes go …
	folder string  // … and in which folder of it
	v      *view
	ms     marks
	walk   *walker
	found  []backend.Anomaly // what the walk has found
	steps  []step
}

// step is one thing that a recovery does.
type step struct {
	backend.RecoveryAction
	do func() error
}

func (rc *recovery) add(action, file string, off, n int64, saved, detail string, do func() error) {
	rc.steps = append(rc.steps, step{backend.RecoveryAction{Action: action, File: file, Offset: off, Length: n, Saved: saved, Detail: detail}, do})
}

// look walks the log as it is now.
func (rc *recovery) look() (err error) {
	s := rc.s
	if rc.ms, err = readMarks(s.dir, s.uuid); err != nil {
		return err
	}
	segments, err := rc.v.copies()
	if err != nil {
		return err
	}
	rc.walk = s.walker(rc.ctx, rc.v, segments, &rc.ms)
	rc.walk.givingUp = true
	rc.walk.report = func(a backend.Anomaly) { rc.found = append(rc.found, a) }
	return rc.walk.run()
}

// repairs plans what loses nothing.
func (rc *recovery) repairs() error {
	s := rc.s
	if s.rotten != nil || s.copyRotten() {
		rc.add("rebuild", manifestName, 0, 0, "", "the manifest and its copy, from the one that is sound", s.rewriteManifest)
	}
	if t := rc.walk.tail; t.sg != nil {
		rc.add("cut", t.sg.name, t.from, t.to-t.from, rc.folder, "the torn tail: saved, then zeroed", func() error {
			s.counts.cut.Add(t.to - t.from)
			return rc.saveAnd(t, func() error { return zeroOut(t) })
		})
	}
	for _, a := range rc.found {
		sg := rc.named(a.File)
		switch {
		case sg == nil:
		case a.Code == backend.StrayBytes && a.Severity == backend.Warning:
			t := torn{sg, a.Offset, a.Offset + a.Length}
			rc.add("cut", sg.name, a.Offset, a.Length, rc.folder, "bytes where the log has left the segment: saved, then zeroed", func() error {
				return rc.saveAnd(t, func() error { return zeroOut(t) })
			})
		case a.Code == backend.BadHeader && a.Offset == 0 && a.Severity == backend.Warning:
			rc.add("rebuild", sg.name, 0, headerSize, "", "the segment's header, from the manifest", func() error { return rc.rewriteHeader(sg) })
		}
	}
	for _, m := range rc.walk.mended {
		rc.add("mend", m.sg.name, m.off, int64(len(m.b)), rc.folder, "one byte, which two checksums tell: saved, then put right", func() error {
			return rc.saveAnd(torn{m.sg, m.off, m.off + int64(len(m.b))}, func() error {
				if _, err := m.sg.file.WriteAt(m.b, m.off); err != nil {
					return err
				}
				return m.sg.file.Sync()
			})
		})
	}
	if len(rc.ms.found) > 0 && !(rc.ms.ok && rc.ms.newest.sequence > rc.walk.last.sequence) {
		rc.add("rebuild", markName, 0, markSize, "", "the mark, at the end of the log", rc.rebuildMark)
	}
	if err := rc.spans(false); err != nil {
		return err
	}
	rc.heads()
	return s.tidy(rc.add)
}

// saveAnd saves an extent, and then does something about it.
func (rc *recovery) saveAnd(t torn, f func() error) error {
	if _, err := save(rc.s.dir, t, rc.to, rc.folder); err != nil {
		return err
	}
	return f()
}

// copyRotten reports whether the manifest's copy is not what it should be.
func (s *store) copyRotten() bool {
	if s.listed.Load().format < 2 {
		return false
	}
	for _, name := range [...]string{manifestName, copyName} {
		b, err := readWhole(s.dir, name, manifestMost)
		if err != nil {
			return true
		}
		if m, err := parseManifest(b); err != nil || m.generation != s.listed.Load().generation {
			return true
		}
	}
	return false
}

func (rc *recovery) named(name string) *segment {
	for _, sg := range rc.walk.segments {
		if sg.name == name && sg.file != nil {
			return sg
		}
	}
	return nil
}

// rewriteHeader writes a segment's first page again: the manifest holds all that it
// says.
func (rc *recovery) rewriteHeader(sg *segment) error {
	s := rc.s
	h := segmentHeader{format: FormatVersion, store: s.uuid, id: sg.id, life: sg.life, previous: s.listed.Load().before(sg.id)}
	if _, err := sg.file.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	return sg.file.Sync()
}

// rebuildMark makes MARK anew, at the end of the log.
func (rc *recovery) rebuildMark() error {
	w, s := rc.walk, rc.s
	m := mark{store: s.uuid, generation: max(rc.ms.newest.generation, s.marker.newest.generation) + 1, sequence: w.last.sequence, chain: w.last.crc, last: w.pos}
	if w.last.sg != nil {
		m.segment, m.life, m.end = w.last.sg.id, w.last.sg.life, uint64(w.last.end)
	}
	return s.makeMark(m)
}

// makeMark replaces MARK.
func (s *store) makeMark(m mark) error {
	_, err := replace(s.dir, markName, newMarkFile(m))
	return err
}

// tidy adds steps for files that do not belong into the directory: what a crash left
// goes, what is not known moves to the quarantine.
func (s *store) tidy(add func(action, file string, off, n int64, saved, detail string, do func() error)) error {
	entries, err := s.dir.ReadDir(".")
	if err != nil {
		return err
	}
	files := s.listed.Load().files()
	for _, e := range entries {
		if files[e.Name] {
			continue
		}
		_, isHeads := headsGeneration(e.Name)
		switch {
		case isPart(e.Name) || isHeads:
			severity, detail, err := s.unlisted(e.Name)
			if err != nil {
				return err
			}
			if severity == backend.Warning && e.Mode.IsRegular() {
				saved := quarantineDir + "/" + e.Name
				add("quarantine", e.Name, -1, 0, saved, detail+": moved, not changed", func() error { return s.moveAside(e.Name, saved) })
			}
		case isRubbish(e.Name):
			add("remove", e.Name, -1, 0, "", "what a crash left of a file that was being written", func() error {
				if err := s.dir.Remove(e.Name); !errors.Is(err, fs.ErrNotExist) { // a step before may have written the file itself anew
					return err
				}
				return nil
			})
		case !ours(e.Name) && e.Mode.IsRegular():
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
