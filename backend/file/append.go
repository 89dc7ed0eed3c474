package file

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// appender is what Append alone uses, of which one runs at a time.
type appender struct {
	encoder  encoder
	active   *segment // where the next group goes
	capacity int64    // of active: beyond it the next segment begins
	bytes    int64    // of the log
	sequence uint64   // of the last group
	chain    uint32   // the CRC in its header
}

// zeros is what is laid ahead.
var zeros [layMost]byte

// Append stores the records as one group: zeros laid ahead if the group does not fit on
// those that are there, one write at the tracked end, one sync. What the operating
// system says decides:
//
//	laying zeros fails: no space   cut back, once more without a chunk; then ErrNoSpace
//	laying zeros fails otherwise   cut back; ErrPoisoned, nothing stored
//	cutting back fails             ErrPoisoned, nothing stored
//	the write fails, or is short   the group's range zeroed and synced, nothing stored:
//	                               ErrNoSpace, or else ErrPoisoned
//	zeroing fails too              ErrPoisoned and ErrUnknownOutcome
//	the sync fails, for any cause  ErrPoisoned and ErrUnknownOutcome: it is never tried
//	                               again, as a second sync may succeed without having
//	                               written a byte
func (s *store) Append(_ context.Context, records []backend.Record) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.mayAppend(); err != nil {
		return err
	}
	w := &s.writer
	g, b := w.encoder.encode(records)
	if len(b) > maxGroup {
		return fmt.Errorf("%w: a group of %d bytes: at most %d", backend.ErrTooLarge, len(b), maxGroup)
	}
	sg, off, err := s.write(&g, b)
	if err != nil {
		return err
	}
	s.publish(sg, off, &g, func() {
		t := sg.table
		t.begin(off, &g)
		for i := range records {
			r, e := &records[i], w.encoder.extents[i]
			t.put(off, i, r.Position, e)
			t.record(r, place{r.Position, g.base, uint32(off) + uint32(e.at)})
		}
		s.proof.last = t.last
	})
	s.prepareEarly()
	return nil
}

// write makes a group durable, whose bytes are b but for the header, and returns where.
func (s *store) write(g *group, b []byte) (sg *segment, off int64, err error) {
	w := &s.writer
	if sg, err = s.room(int64(len(b))); err != nil {
		return nil, 0, err
	}
	off = sg.end
	g.sequence, g.chain = w.sequence+1, w.chain
	g.put(b, uint32(sg.life), sg.seed, off)
	if err := s.layAhead(sg, off, int64(len(b))); err != nil {
		return nil, 0, err
	}
	if _, err := sg.file.WriteAt(b, off); err != nil {
		return nil, 0, s.unwrite(sg, off, len(b), err)
	}
	if err := sg.file.Datasync(); err != nil {
		s.setPoison(fmt.Errorf("%s: sync: %w", sg.name, err))
		return nil, 0, fmt.Errorf("%w: %w: %s offset %d: sync: %w", backend.ErrPoisoned, backend.ErrUnknownOutcome, sg.name, off, err)
	}
	return sg, off, nil
}

// publish makes a durable group known; f takes in what it holds.
func (s *store) publish(sg *segment, off int64, g *group, f func()) {
	w := &s.writer
	w.sequence, w.chain = g.sequence, g.crc
	w.bytes += int64(g.length)
	s.counts.syncs.Add(1)
	now := time.Now().UnixNano()
	s.mu.Lock()
	f()
	sg.end = off + int64(g.length)
	s.proof.set(sg, off, g, s.proof.last)
	s.proof.at = now
	sg.table.end = logStart{g.sequence, g.crc, s.proof.last}
	s.mu.Unlock()
	s.marker.kick()
}

// set makes the proof say that the group at off was the last.
func (p *proof) set(sg *segment, off int64, g *group, last backend.Position) {
	p.segment, p.life, p.end = sg.id, sg.life, uint64(off)+uint64(g.length)
	p.sequence, p.chain, p.last = g.sequence, g.crc, last
	p.off, p.sg = off, sg
}

// layAhead sees to it that zeros stand where n bytes at off will be written, and a
// chunk beyond. The file's blocks are then allocated and written, so that the commits
// that follow change nothing but data: half the time of a growing file.
func (s *store) layAhead(sg *segment, off, n int64) error {
	if off+n <= sg.laid {
		return nil
	}
	chunk := min(max(16*n, layLeast), layMost, max(s.writer.bytes/16, layLeast))
	most := max(s.writer.capacity, off+n)
	err := s.lay(sg, min(off+n+chunk, most))
	if err != nil && noSpace(err) {
		err = s.lay(sg, off+n)
	}
	switch {
	case err == nil || sentinel(err):
		return err
	case noSpace(err):
		return fmt.Errorf("%w: %s: %w", backend.ErrNoSpace, sg.name, err)
	}
	s.setPoison(fmt.Errorf("%s: laying zeros ahead: %w", sg.name, err))
	return *s.poison.Load()
}

// lay writes zeros from the end of the file up to a new one, or leaves it as it was.
func (s *store) lay(sg *segment, to int64) error {
	for at := sg.laid; at < to; {
		n := min(to-at, layMost)
		if _, err := sg.file.WriteAt(zeros[:n], at); err != nil {
			if cut := sg.file.Truncate(sg.laid); cut != nil {
				s.setPoison(fmt.Errorf("%s: can't be cut back to %d bytes: %w", sg.name, sg.laid, errors.Join(cut, err)))
				return *s.poison.Load()
			}
			return err
		}
		at += n
	}
	s.counts.laid.Add(to - sg.laid)
	sg.laid = to
	return nil
}

// unwrite makes the range of a group that could not be written zero again.
func (s *store) unwrite(sg *segment, off int64, n int, cause error) error {
	var err error
	for at := 0; at < n && err == nil; at += layMost {
		_, err = sg.file.WriteAt(zeros[:min(n-at, layMost)], off+int64(at))
	}
	if err == nil {
		err = sg.file.Datasync()
	}
	if err != nil {
		s.setPoison(fmt.Errorf("%s: write: %w", sg.name, errors.Join(cause, err)))
		return fmt.Errorf("%w: %w: %s offset %d: write: %w", backend.ErrPoisoned, backend.ErrUnknownOutcome, sg.name, off, errors.Join(cause, err))
	}
	if noSpace(cause) {
		return fmt.Errorf("%w: %s: %w", backend.ErrNoSpace, sg.name, cause)
	}
	s.setPoison(fmt.Errorf("%s offset %d: write (nothing was stored): %w", sg.name, off, cause))
	return *s.poison.Load()
}
