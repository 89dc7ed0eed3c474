package file

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// preparer makes the next segment while the active one is being filled, so that going
// on in it costs no sync. At most one goroutine runs; Close waits for it.
type preparer struct {
	wait sync.WaitGroup

	mu      sync.Mutex
	running bool     // a goroutine runs
	began   int      // how often a file of the store was begun to be made …
	ended   int      // … and how often that ended: between them there are files that no scan minds
	spare   *segment // prepared and listed, without groups
	taken   uint64   // no new segment gets an id up to this: a stray file may have it
}

// room returns the segment that a group of n bytes goes to.
func (s *store) room(n int64) (*segment, error) {
	w := &s.writer
	if w.active != nil && (w.active.end == headerSize || w.active.end+n <= w.capacity) {
		return w.active, nil
	}
	next, err := s.takeSpare()
	if err != nil {
		return nil, err
	}
	s.rotate(next)
	return next, nil
}

// rotate makes next the segment that groups go to. The one before is full.
func (s *store) rotate(next *segment) {
	w := &s.writer
	full := w.active
	w.active, w.capacity = next, s.capacity()
	if full == nil {
		return
	}
	s.counts.rotations.Add(1)
	s.mu.Lock()
	full.full = true
	s.mu.Unlock()
	s.sealEarly()
}

// capacity is where a segment that begins now will be full.
func (s *store) capacity() int64 { return s.capacityAt(s.writer.bytes) }

// capacityAt is capacity for a store of so many bytes.
func (s *store) capacityAt(bytes int64) int64 {
	if s.opts.SegmentBytes > 0 {
		return s.opts.SegmentBytes
	}
	return min(max(bytes/16, DefaultMinSegmentBytes), DefaultMaxSegmentBytes)
}

// prepareEarly begins to prepare the next segment once the active one is filled to
// three quarters.
func (s *store) prepareEarly() {
	if w := &s.writer; w.active.end < w.capacity/4*3 {
		return
	}
	p := &s.preparer
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spare != nil || p.running {
		return
	}
	p.running = true
	p.wait.Go(func() {
		spare, _ := s.prepare() // an error that matters poisons; others show when it is tried again
		p.mu.Lock()
		defer p.mu.Unlock()
		p.spare, p.running = spare, false
	})
}

// takeSpare returns the prepared segment, and prepares it if need be.
func (s *store) takeSpare() (*segment, error) {
	p := &s.preparer
	p.wait.Wait()
	if spare := p.spare; spare != nil {
		p.spare = nil
		return spare, nil
	}
	if err := s.mayAppend(); err != nil {
		return nil, err
	}
	return s.prepare()
}

// prepare makes a segment and lists it in the manifest: it is durable under its name
// before the manifest names it, and in the durable manifest before it holds a group. A
// crash leaves rubbish, an unlisted segment without groups, or all of it.
func (s *store) prepare() (*segment, error) {
	s.preparer.count(&s.preparer.began)
	defer s.preparer.count(&s.preparer.ended)
	s.manifests.Lock()
	defer s.manifests.Unlock()
	now := s.listed.Load()
	previous := now.newestID()
	l := listed{id: s.nextID(), life: newLife()}
	sg := newSegment(s.uuid, l, nil)
	sg.table.streams = make(map[string]*stream, s.streamsNow())
	if err := s.create(sg, previous); err != nil {
		return nil, err
	}
	clean, err := s.relistWithin(func(m *manifest) { m.segments = append(m.segments, l) }, false)
	if err != nil {
		err = errors.Join(err, sg.file.Close())
		if clean {
			err = errors.Join(err, s.dir.Remove(sg.name))
		}
		return nil, s.prepareError(clean, manifestName, err)
	}
	s.change(func(v *view) { v.segments = append(v.segments, sg) })
	return sg, nil
}

// streamsNow is how many streams the newest segment holds: the next will hold about as
// many, and its table need not grow while a group is published.
func (s *store) streamsNow() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n := len(s.view.segments); n > 0 {
		return len(s.view.segments[n-1].table.streams)
	}
	return 0
}

// relist makes the manifest that f changes durable. The caller holds store.manifests.
// clean says, of an error, that the manifest from before still stands.
func (s *store) relist(f func(*manifest)) (clean bool, err error) { return s.relistWithin(f, true) }

// relistWithin is relist that leaves the reserve alone unless it may have it. It is for what
// gives room back, and not for appends, nor for packing what they have filled.
func (s *store) relistWithin(f func(*manifest), reserve bool) (clean bool, err error) {
	next := s.listed.Load().clone()
	f(&next)
	next.holes = next.holes.tidy()
	next.format = FormatVersion
	next.generation++
	if clean, err := s.putManifest(&next, reserve); err != nil {
		return clean, err
	}
	s.listed.Store(&next)
	return true, nil
}

func (p *preparer) count(n *int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*n++
}

// since returns whether a segment was being made at any time since it said that began
// were begun.
func (p *preparer) since(began int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.began != began || p.ended != began
}

// create makes a segment's file, durable under its name. The file stays open: a sync
// error is reported to those that had it open, and to nobody else.
func (s *store) create(sg *segment, previous uint64) error {
	h := segmentHeader{format: FormatVersion, store: s.uuid, id: sg.id, life: sg.life, previous: previous}
	tmp := sg.name + tmpSuffix
	f, err := createNew(s.dir, tmp)
	if err != nil {
		return s.prepareError(true, tmp, err)
	}
	if _, err = f.WriteAt(append(h.encode(), zeros[:layLeast]...), 0); err != nil {
		return s.prepareError(true, tmp, errors.Join(err, f.Close(), s.dir.Remove(tmp)))
	}
	err = f.Sync()
	if err == nil {
		err = s.dir.Rename(tmp, sg.name)
	}
	if err == nil {
		f.Renamed(sg.name)
		err = s.dir.SyncDir(".")
	}
	if err != nil {
		return s.prepareError(false, sg.name, errors.Join(err, f.Close()))
	}
	sg.file, sg.laid = f, headerSize+layLeast
	return nil
}

// prepareError is why there is no next segment. Where a disk that is full left
// everything as it was, it can be tried again; else the handle is not fit to write.
func (s *store) prepareError(clean bool, name string, err error) error {
	if clean && noSpace(err) {
		return fmt.Errorf("%w: preparing %s: %w", backend.ErrNoSpace, name, err)
	}
	s.setPoison(fmt.Errorf("preparing %s: %w", name, err))
	return *s.poison.Load()
}

// newLife returns the random number that binds group headers to one segment's file. It
// is never zero, which is what erased bytes read as.
func newLife() uint64 {
	var b [8]byte
	for binary.LittleEndian.Uint32(b[:]) == 0 {
		_, _ = rand.Read(b[:]) // it never fails
	}
	return binary.LittleEndian.Uint64(b[:])
}
