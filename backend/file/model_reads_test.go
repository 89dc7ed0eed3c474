package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func (m *model) head() {
	ctx := context.Background()
	name := m.name()
	f, ferr := m.files.Head(ctx, name)
	w, merr := m.mem.Head(ctx, name)
	m.same("head of "+name, f, w, ferr, merr)
	fp, ferr := m.files.Last(ctx)
	mp, merr := m.mem.Last(ctx)
	m.same("last", fp, mp, ferr, merr)
}

func (m *model) streams() {
	q := backend.StreamQuery{Limit: m.rng.IntN(30)}
	if m.rng.IntN(2) == 0 {
		q.Prefix = []string{"", "a", "many/", "$sys/", "n", "zz"}[m.rng.IntN(6)]
	}
	if m.rng.IntN(2) == 0 {
		q.After = m.name()
	}
	list := func(b *backend.Backend) (out []backend.StreamInfo, _ error) {
		for s, err := range b.Streams(context.Background(), q) {
			if err != nil {
				return out, err
			}
			out = append(out, s)
		}
		return out, nil
	}
	f, ferr := list(m.files)
	w, merr := list(m.mem)
	m.same(fmt.Sprintf("streams %.100v", q), f, w, ferr, merr)
}

func (m *model) newest() {
	ctx := context.Background()
	name := m.name()
	upTo := backend.Version(0)
	if m.rng.IntN(2) == 0 {
		upTo = backend.Version(m.rng.Uint64N(uint64(m.headOf(name).Version) + 2))
	}
	f, ferr := m.files.Snapshot(ctx, name, upTo)
	w, merr := m.mem.Snapshot(ctx, name, upTo)
	if m.same("newest snapshot", nil, nil, ferr, merr) && ferr == nil && !equal(&f, &w) {
		m.t.Errorf("snapshot of %.20q up to %d: files %s, memory %s", name, upTo, short(&f), short(&w))
	}
}

// whole compares all there is, in all ways of reading.
func (m *model) whole() {
	for _, reverse := range []bool{false, true} {
		m.compare(m.files, backend.Query{Kinds: backend.AllKinds, Reverse: reverse})
		for s, err := range m.mem.Streams(context.Background(), backend.StreamQuery{}) {
			if err != nil {
				m.t.Fatal(err)
			}
			m.compare(m.files, backend.Query{Stream: s.Name, Reverse: reverse})
			m.compare(m.files, backend.Query{Stream: s.Name, Reverse: reverse, Kinds: backend.KindSet(backend.Snapshot)})
		}
	}
}

func (m *model) scan() {
	r, err := m.files.Scan(context.Background(), nil)
	if err != nil {
		m.t.Error(err)
	} else if len(r.Anomalies) > 0 {
		m.t.Errorf("scan: %v", r.Anomalies)
	}
}

func (m *model) read() {
	q := backend.Query{Reverse: m.rng.IntN(2) == 0, Kinds: backend.AllKinds}
	top := uint64(m.last())
	if m.rng.IntN(2) == 0 {
		q.Stream = m.name()
		h := m.headOf(q.Stream)
		top = uint64(h.Version)
		q.Kinds = 0
		if m.rng.IntN(4) == 0 {
			q.Kinds = backend.KindSet(backend.Snapshot)
		}
		if m.rng.IntN(3) > 0 {
			top = uint64(h.Version-h.Floor) + 3
			q.From = uint64(h.Floor) - min(uint64(h.Floor), 1) + m.rng.Uint64N(top)
		}
	} else {
		switch m.rng.IntN(6) {
		case 0:
			q.Kinds = backend.KindSet(backend.Snapshot)
		case 1:
			q.Kinds = 0
		case 2:
			q.Kinds = backend.KindSet(backend.Audit, backend.Lifecycle)
		}
		if m.rng.IntN(4) == 0 {
			q.Prefix = []string{"a", "many/", "$sys/", "n", "restored/", "zz"}[m.rng.IntN(6)]
		}
		if m.rng.IntN(2) == 0 {
			q.From = m.rng.Uint64N(top + 2)
		}
	}
	if m.rng.IntN(2) == 0 {
		q.To = q.From + m.rng.Uint64N(top+2)
	}
	if m.rng.IntN(20) == 0 {
		q.To = math.MaxUint64
	}
	if m.rng.IntN(3) == 0 {
		q.Limit = 1 + m.rng.IntN(1<<m.rng.IntN(11))
	}
	if m.rng.IntN(4) == 0 {
		for range 1 + m.rng.IntN(3) {
			q.Types = append(q.Types, m.types[m.rng.IntN(len(m.types))])
		}
	}
	if m.rng.IntN(5) == 0 {
		q.Since = m.now.Add(-time.Duration(m.rng.IntN(1000)) * time.Second)
	}
	if m.rng.IntN(5) == 0 {
		q.Until = m.now.Add(-time.Duration(m.rng.IntN(300)) * time.Second)
	}
	if m.rng.IntN(10) == 0 {
		m.breakOff(q)
	}
	m.compare(m.files, q)
}

// breakOff ends a read early, or has its context end.
func (m *model) breakOff(q backend.Query) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n, own := m.rng.IntN(600), m.rng.IntN(2) == 0
	for _, err := range m.files.Read(ctx, q) {
		if err != nil {
			if !errors.Is(err, context.Canceled) && class(err) != backend.ErrCompacted && class(err) != backend.ErrInvalid {
				m.t.Errorf("a read that was cancelled: %v", err)
			}
			return
		}
		if n--; n < 0 && own {
			return
		} else if n < 0 {
			cancel()
		}
	}
}

func readAll(b *backend.Backend, q backend.Query) (out []backend.Record, err error) {
	for r, err := range b.Read(context.Background(), q) {
		if err != nil {
			return out, err
		}
		out = append(out, r.Clone())
	}
	return out, nil
}

func (m *model) all(b *backend.Backend, q backend.Query) []backend.Record {
	m.t.Helper()
	out, err := readAll(b, q)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

func (m *model) compare(b *backend.Backend, q backend.Query) {
	m.t.Helper()
	f, ferr := readAll(b, q)
	w, merr := readAll(m.mem, q)
	m.counts["compared"] += len(w)
	call := fmt.Sprintf("read %.200s", fmt.Sprintf("%+v", q))
	if !m.same(call, nil, nil, ferr, merr) {
		return
	}
	for i := range min(len(f), len(w)) {
		if !equal(&f[i], &w[i]) {
			m.t.Errorf("%s: at %d of %d: files %s, memory %s", call, i, len(w), short(&f[i]), short(&w[i]))
			return
		}
	}
	if len(f) != len(w) {
		m.t.Errorf("%s: files have %d records, memory %d", call, len(f), len(w))
	}
}

func equal(a, b *backend.Record) bool {
	return a.Position == b.Position && a.Stream == b.Stream && a.Version == b.Version && a.Kind == b.Kind && a.Type == b.Type && a.Schema == b.Schema &&
		a.Time.Equal(b.Time) && a.Time.Location() == b.Time.Location() && a.Epoch == b.Epoch && a.Batch == b.Batch &&
		bytes.Equal(a.Payload, b.Payload) && bytes.Equal(a.Meta, b.Meta)
}

func short(r *backend.Record) string {
	return fmt.Sprintf("{%d %.20q@%d %v %.20q %d %v %d %v %d+%d bytes}", r.Position, r.Stream, r.Version, r.Kind, r.Type, r.Schema, r.Time, r.Epoch, r.Batch, len(r.Payload), len(r.Meta))
}
