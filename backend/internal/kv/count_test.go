package kv

import (
	"errors"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// damagedStore is a store of five records and two snapshots, damaged by do, and its handle's error.
func damagedStore(t *testing.T, do func(m *medium)) (p *testPlace) {
	t.Helper()
	p = &testPlace{m: newMedium(), dir: t.TempDir()}
	l, err := p.log(false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range backend.Version(5) {
		if err := appendAt(l, i+1, backend.Position(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range backend.Version(2) {
		s := backend.Record{Stream: "s", Version: i + 3, Position: backend.Position(i + 6), Kind: backend.Snapshot, Payload: []byte("state")}
		if err := l.Append(t.Context(), []backend.Record{s}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	do(p.m)
	return p
}

// flip damages the value of a key.
func (m *medium) flip(key []byte) { m.values[string(key)][len(m.values[string(key)])/2] ^= 4 }

// What the store says of how many records it has is how many keys of records there are that are no marks
// of lost ones: engines take another number for a loss.
func TestARecoveryCountsTheRecordsThatAreLeft(t *testing.T) {
	record, place := appendRecordKey(nil, "s", 2), appendPlaceKey(nil, 2)
	defer func(n int) { scanKeys = n }(scanKeys)
	scanKeys = 3
	for _, row := range []struct {
		what string
		mode backend.RecoveryMode
		do   func(m *medium)
	}{
		{"a record and its place are missing", backend.Quarantine, func(m *medium) { m.delete(string(record)); m.delete(string(place)) }},
		{"the first bytes of a record and its place are damaged", backend.Quarantine, func(m *medium) { m.values[string(record)][0] ^= 4; m.flip(place) }},
		{"a record and where the store stands are damaged", backend.Repair, func(m *medium) { m.flip(record); m.flip(stateKey) }},
		{"a snapshot and where the store stands are damaged", backend.Repair, func(m *medium) { m.flip(appendSnapshotKey(nil, "s", 3, 6)); m.flip(stateKey) }},
		{"a record and where the store stands are damaged, and given up", backend.Quarantine, func(m *medium) { m.flip(record); m.flip(stateKey) }},
	} {
		t.Run(row.what, func(t *testing.T) {
			p := damagedStore(t, row.do)
			l, err := p.log(false)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if _, err := l.Recover(t.Context(), backend.RecoveryPlan{Mode: row.mode}); err != nil {
				t.Fatal(err)
			}
			counts(t, l, p)
		})
	}
}

// counts checks what the store says of how many records it has.
func counts(t *testing.T, l *Log, p *testPlace) {
	t.Helper()
	there := uint64(0)
	for _, key := range p.m.keys {
		if k, ok := parseStreamKey([]byte(key)); ok && k.part < partHead && !isLost(p.m.values[key]) {
			there++
		}
	}
	if l.state.records != there {
		t.Errorf("the store says that it has %d records, and %d are there", l.state.records, there)
	}
}

// A quarantine that ends after any of its writes has counted what that gave up.
func TestARecoveryCountsWithEachWrite(t *testing.T) {
	defer func(n int) { scanKeys = n }(scanKeys)
	scanKeys = 3 // many views, and as many writes
	for at := 1; ; at++ {
		p := damagedStore(t, func(m *medium) {
			for _, key := range [][]byte{appendRecordKey(nil, "s", 2), appendRecordKey(nil, "s", 4), appendSnapshotKey(nil, "s", 3, 6)} {
				m.flip(key)
			}
		})
		f := &failing{at: at, how: always}
		p.wrap = func(e Engine) Engine {
			f.Engine = e
			return f
		}
		l, err := p.log(false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Recover(t.Context(), backend.RecoveryPlan{Mode: backend.Quarantine})
		counts(t, l, p)
		if closed := l.Close(); closed != nil {
			t.Fatal(closed)
		}
		if err == nil {
			if at < 3 {
				t.Error("it takes fewer than two writes: nothing was tested")
			}
			return
		}
	}
}

// A lost snapshot whose place is lost, too, goes with a cut like any other.
func TestALostSnapshotOfALostPlaceIsCutAway(t *testing.T) {
	p := damagedStore(t, func(m *medium) { m.flip(appendSnapshotKey(nil, "s", 3, 6)); m.flip(appendPlaceKey(nil, 6)) })
	l, err := p.log(false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Recover(t.Context(), backend.RecoveryPlan{Mode: backend.Quarantine}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: 5}}}); err != nil {
		t.Error(err)
	}
	for a, err := range l.Scan(t.Context(), backend.ScanPlan{Depth: backend.Full}) {
		if err != nil || a.Severity > backend.Notice {
			t.Errorf("%v, %v", a, err)
		}
	}
	if _, err := l.Head(t.Context(), "s"); errors.Is(err, backend.ErrCorrupt) {
		t.Error(err)
	}
}
