package kv

import (
	"bytes"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// recount counts the snapshots of a stream that several views have looked at: some may be
// cut away, or saved, since.
func (w *walk) recount(s Snapshot) error {
	t := &w.streams
	t.count, t.newest, t.newestAt = 0, 0, 0
	low := appendStream(nil, t.name, partSnapshot)
	c := s.Cursor(low, appendHeadKey(nil, t.name))
	defer c.Close()
	for ok := c.Seek(low); ok; ok = c.Next() {
		if k, sound := parseStreamKey(c.Key()); sound {
			t.count++
			t.newest, t.newestAt = k.version, k.position
		}
	}
	return c.Err()
}

// snapshotsAgree looks whether the snapshots are there that the head knows of.
func (w *walk) snapshotsAgree() {
	t := &w.streams
	h := &t.head
	if h.snapshots == t.count && h.newest == t.newest && h.newestAt == t.newestAt {
		return
	}
	t.lost = true
	after := h.newestAt > 0 && (t.newestAt == 0 || t.newest < h.newest || t.newest == h.newest && t.newestAt < h.newestAt)
	if !after {
		if t.wrong = fmt.Sprintf("%d snapshots are there, up to that of version %d at position %d, and should be %d", t.count, t.newest, t.newestAt, h.snapshots); t.count < h.snapshots {
			w.fixHead(backend.MissingRecord, backend.Damage, t.wrong, backend.Quarantine)
			t.wrong = ""
		}
		return
	}
	name, v, p := t.name, h.newest, h.newestAt
	now := *h
	now.snapshots = t.count + 1
	w.add(backend.MissingRecord, backend.Damage, name, v, p, "the newest snapshot is missing").quarantine("mark", nil, func(b Batch) error {
		key := appendSnapshotKey(nil, name, v, p)
		if err := b.Set(key, (&lost{position: p, through: v, detail: "missing"}).append(nil, w.l.sums, key)); err != nil {
			return err
		}
		return w.l.putHead(b, name, &now)
	})
	t.wrong = ""
}

// lostHead reports a head that is missing or can't be read. It follows from the records, if
// there are any.
func (w *walk) lostHead() {
	t := &w.streams
	detail := "where the stream stands is missing"
	if t.there {
		detail = "where the stream stands can't be read"
	}
	if t.derived == nil {
		t.derived = map[string]bool{}
	}
	t.derived[t.name] = true
	mode := backend.Repair
	if t.last == 0 && t.head.Version == 0 {
		mode = backend.Quarantine
	}
	w.fixHead(backend.WrongHead, backend.Damage, detail, mode)
}

// fixHead reports a head that is to be written again. Without a record that tells, no
// version that any stream ever had is given again.
func (w *walk) fixHead(code backend.AnomalyCode, severity backend.Severity, detail string, mode backend.RecoveryMode) {
	t := &w.streams
	now := t.head
	now.Version, now.Epoch = max(now.Version, t.last), max(now.Epoch, t.epoch)
	if !t.sound {
		now.Floor = max(now.Floor, t.first)
		if t.last == 0 && now.Version == 0 {
			now.Version = max(now.Version, w.l.state.version, t.version, t.newest)
			now.Epoch = max(now.Epoch, w.l.state.epoch, t.highest)
			now.Floor = now.Version + 1
		}
	}
	now.snapshots, now.newest, now.newestAt = t.count, t.newest, t.newestAt
	t.head = now
	name, saved := t.name, bytes.Clone(t.value)
	f := w.add(code, severity, name, 0, 0, detail).under(appendHeadKey(nil, name))
	f.repair("rebuild", func(b Batch) error { return w.l.putHead(b, name, &now) })
	if f.mode, f.Mendable = mode, mode == backend.Repair; mode == backend.Quarantine && len(saved) > 0 {
		f.save = saved
	}
}
