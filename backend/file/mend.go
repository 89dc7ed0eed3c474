package file

import (
	"bytes"
	"encoding/binary"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// A record in a span of which one byte of the head is wrong reads as it was, as in the log:
// head and record carry a checksum each, which prove it. A scan tells of it, recover writes
// it, and it is not packed again before.

// mended reads the record of a frame, all of which is given, of which one byte of the head
// is wrong. It returns false if that is not what is wrong.
func (sp *span) mended(frame []byte, d *codec.Decoder, r *backend.Record) bool {
	rel, head := binary.Uvarint(frame)
	if head <= 0 || rel > uint64(sp.to-sp.from) {
		return false
	}
	return sp.mendedAt(frame[head:], sp.from+backend.Position(rel), d, r)
}

// mendedAt is mended for an envelope, all of which is given, at a position.
func (sp *span) mendedAt(envelope []byte, p backend.Position, d *codec.Decoder, r *backend.Record) bool {
	if _, err := d.Head(envelope, p, sp.base, r); err == nil {
		return false // the head is sound
	}
	fixed := bytes.Clone(envelope)
	if !d.Mend(fixed, p) {
		return false
	}
	_, err := d.Decode(fixed, p, sp.base, r)
	return err == nil
}

// mendable reports whether what is lost of a span reads as it was all the same, however it
// is read: it is known whose it is, and one byte of its head, but not of its length, is all
// that is wrong.
func (sp *span) mendable(seed codec.Seed, l *lostRecord) bool {
	var w window
	var r backend.Record
	d := codec.Decoder{Seed: seed}
	b, err := sp.bytes(&w, l.off, int(l.n), 0)
	if err != nil || l.version == 0 || int64(len(b)) != l.n {
		return false
	}
	_, head := binary.Uvarint(b)
	if head <= 0 {
		return false
	}
	n, err := codec.Length(b[head:])
	return err == nil && head+n == len(b) && sp.mended(b, &d, &r) && r.Stream == l.stream && r.Version == l.version
}

// mendTries is for how many of the records that are lost in a span a scan tries to mend
// them: where there are more, it was no single byte.
const mendTries = 16

// loadSpot reads the record at a spot of a span into r.record, and ahead bytes if they must
// be read anyway.
func (r *reader) loadSpot(sp *span, at *spot, ahead int) error {
	err := sp.load(&r.window, &r.decoder, at.off, ahead, &r.record)
	if err == nil {
		return nil
	}
	n := at.n
	if n == 0 {
		if _, _, n, _ = sp.hop(&r.window, at.off, sp.frames, 0); n == 0 {
			return err
		}
	}
	if b, e := sp.bytes(&r.window, at.off, n, 0); e != nil || len(b) < n || !sp.mended(b, &r.decoder, &r.record) {
		return err
	}
	return nil
}

// mendLost takes those numbered records of a stream out of what is lost in a span that can
// be mended, and adds them to what was found.
func (r *reader) mendLost(sp *span, name string, found []spot, lost []lostRecord) ([]spot, []lostRecord) {
	kept := lost[:0]
	for _, l := range lost {
		b, err := sp.bytes(&r.window, l.off, int(l.n), 0)
		var rec backend.Record
		if err == nil && int64(len(b)) == l.n && sp.mended(b, &r.decoder, &rec) && rec.Stream == name {
			if rec.Kind != backend.Snapshot {
				found = append(found, spot{version: rec.Version, off: l.off, n: int(l.n), place: place{position: rec.Position}})
			}
			continue
		}
		kept = append(kept, l)
	}
	return found, kept
}
