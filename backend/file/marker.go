package file

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// When marks are written: so long after the last group if none follows, and so often
// while groups go on.
const (
	markIdle = 50 * time.Millisecond
	markBusy = time.Second
)

// marker writes marks beside appends, in a goroutine that Close waits for. A mark that
// can't be written weakens the evidence about the end of the log, and harms nothing
// else: it is counted.
type marker struct {
	wait  sync.WaitGroup
	quit  chan struct{}
	wake  chan struct{} // capacity 1
	awake atomic.Bool   // the goroutine will look at the proof again by itself

	mu     sync.Mutex
	file   disk.File // MARK; nil if there is none to write to
	newest mark      // what is written
	slot   int       // where
}

func (s *store) startMarker() {
	m := &s.marker
	m.quit, m.wake = make(chan struct{}), make(chan struct{}, 1)
	m.wait.Go(func() {
		for {
			select {
			case <-m.quit:
				return
			case <-m.wake:
			}
			if !s.keepMarking() {
				return
			}
		}
	})
}

// kick tells the marker of a new group.
func (m *marker) kick() {
	if !m.awake.Load() && !m.awake.Swap(true) {
		m.wake <- struct{}{}
	}
}

func (m *marker) stop() {
	if m.quit != nil {
		close(m.quit)
		m.wait.Wait()
		m.quit = nil
	}
}

// pauseMarking ends the marker's goroutine, so that nobody else writes marks, and returns
// what begins it again unless somebody has.
func (s *store) pauseMarking() (goOn func()) {
	m := &s.marker
	if m.quit == nil {
		return func() {}
	}
	m.stop()
	return func() {
		if m.quit != nil {
			return
		}
		m.awake.Store(false)
		s.startMarker()
		m.kick()
	}
}

// keepMarking writes marks until the store is idle and marked. It returns false if it
// is to end.
func (s *store) keepMarking() bool {
	timer := time.NewTimer(markIdle)
	defer timer.Stop()
	marked := time.Now()
	for {
		select {
		case <-s.marker.quit:
			return false
		case <-timer.C:
		}
		now := time.Now()
		p := s.end()
		idle := now.Sub(time.Unix(0, p.at))
		if idle < markIdle && now.Sub(marked) < markBusy {
			timer.Reset(min(max(markIdle-idle, time.Millisecond), markIdle))
			continue
		}
		if s.writeMark(false) != nil {
			s.counts.markErrors.Add(1)
		}
		marked = now
		if idle >= markIdle {
			s.marker.awake.Store(false)
			if s.end().sequence == p.sequence || s.marker.awake.Swap(true) {
				return true
			}
		}
		timer.Reset(markIdle)
	}
}

// writeMark marks the durable end of the log: what is said there was synced before.
func (s *store) writeMark(clean bool) error {
	m := &s.marker
	m.mu.Lock()
	defer m.mu.Unlock()
	next := s.nextMark(clean)
	if m.file == nil || next.sequence == m.newest.sequence && next.clean == m.newest.clean {
		return nil
	}
	return s.putMark(next)
}

// nextMark is the mark to write next. The marker's lock is held.
func (s *store) nextMark(clean bool) mark {
	next := s.end().mark
	next.store, next.clean, next.generation = s.uuid, clean, s.marker.newest.generation+1
	return next
}

// putMark writes a mark, durably. The marker's lock is held.
func (s *store) putMark(next mark) error {
	m := &s.marker
	slot := 1 - m.slot
	_, err := m.file.WriteAt(next.encode(), int64(slot)*pageSize)
	if err == nil {
		err = m.file.Datasync()
	}
	if err != nil {
		if noSpace(err) {
			return fmt.Errorf("%w: %s: slot %d: %w", backend.ErrNoSpace, markName, slot, err)
		}
		return fmt.Errorf("%w: %s: slot %d: %w", backend.ErrPoisoned, markName, slot, err)
	}
	m.newest, m.slot = next, slot
	s.counts.marks.Add(1)
	return nil
}
