package file_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func (m *model) cut(cut backend.Cut) {
	m.t.Helper()
	ctx := context.Background()
	before := m.all(m.mem, backend.Query{Kinds: backend.AllKinds})
	var beside []backend.Record
	var err error
	done, reverse := make(chan struct{}), m.rng.IntN(2) == 0
	go func() {
		defer close(done)
		beside, err = readAll(m.files, backend.Query{Kinds: backend.AllKinds, Reverse: reverse})
	}()
	_, ferr := m.files.Compact(ctx, cut)
	<-done
	_, merr := m.mem.Compact(ctx, cut)
	m.same(fmt.Sprintf("compact %+.300v", cut), nil, nil, ferr, merr)
	if err != nil {
		m.t.Errorf("a read beside the compaction: %v", err)
		return
	}
	if reverse {
		slices.Reverse(beside)
	}
	after := m.all(m.mem, backend.Query{Kinds: backend.AllKinds})
	a, z := 0, 0
	for i := range beside {
		for z < len(before) && before[z].Position < beside[i].Position {
			z++
		}
		if z == len(before) || !equal(&before[z], &beside[i]) {
			m.t.Errorf("a read beside the compaction made up %s", short(&beside[i]))
			return
		}
		for a < len(after) && after[a].Position < beside[i].Position {
			m.t.Errorf("a read beside the compaction left out %s", short(&after[a]))
			return
		}
		if a < len(after) && after[a].Position == beside[i].Position {
			a++
		}
	}
	if a < len(after) {
		m.t.Errorf("a read beside the compaction ended before %s", short(&after[a]))
	}
}

func (m *model) compact() {
	var cut backend.Cut
	for _, name := range m.known() {
		if m.rng.IntN(3) > 0 {
			continue
		}
		h, f := m.headOf(name), backend.StreamFloor{Stream: name}
		most := h.Version + 1
		if backend.KindOf(name) == backend.Event {
			s, err := m.mem.Snapshot(context.Background(), name, 0)
			if err != nil {
				continue
			}
			most = s.Version + 1
		}
		f.Floor = most - min(most, backend.Version(m.rng.IntN(5)))
		if m.rng.IntN(100) == 0 {
			f.Floor++
		}
		if m.rng.IntN(12) == 0 {
			f.Delete, f.Floor = true, 0
		}
		cut.Floors = append(cut.Floors, f)
	}
	m.cut(cut)
}

func (m *model) pack() { m.cut(backend.Cut{}) }

func (m *model) delete() {
	var cut backend.Cut
	for _, name := range m.known() {
		if m.rng.IntN(12) == 0 {
			cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: name, Delete: true})
		}
	}
	m.cut(cut)
}

func (m *model) known() []string {
	out := slices.Clone(m.names)
	slices.Sort(out)
	return slices.Compact(out)
}

func (m *model) plan() {
	ctx := context.Background()
	r := backend.Retention{}
	for _, k := range []backend.Kind{backend.Event, backend.Lifecycle, backend.Audit, backend.DeadLetter} {
		var p backend.Policy
		switch m.rng.IntN(4) {
		case 0:
			p.MaxRecords = 1 + int64(m.rng.IntN(40))
		case 1:
			p.MaxAge = time.Duration(1+m.rng.IntN(300)) * time.Second
		case 2:
			p.MaxBytes = int64(1 + m.rng.IntN(20_000))
		}
		r[k] = p
	}
	f, ferr := m.files.PlanCut(ctx, r)
	w, merr := m.mem.PlanCut(ctx, r)
	if m.same("plan", f, w, ferr, merr) && ferr == nil {
		m.cut(f)
	}
}
