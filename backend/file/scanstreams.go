package file

import (
	"context"
	"fmt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
)

// streams goes through the tables of all spans at once, in the order of names, and checks
// that each stream's versions follow one another from span to span and into the log, that
// each span names the one before it, and that the heads say where the stream stands.
func (sc *scan) streams(v *view) error {
	its := make([]*tableRows, len(v.spans))
	for i, sp := range v.spans {
		its[i] = &tableRows{rows: sp.table.Seek("")}
		its[i].advance()
	}
	var heads []*sorted.Cursor
	for _, h := range v.heads {
		t, err := h.open()
		if err != nil {
			return nil
		}
		heads = append(heads, t.NewCursor())
	}
	for n := 0; !sc.stopped; n++ {
		if err := context.Cause(sc.ctx); n%256 == 0 && err != nil {
			return err
		}
		name, any, err := leastName(v, its)
		if !any || err != nil { // an error is reported
			return nil
		}
		sc.stream(v, name, its, heads)
		for _, it := range its {
			if it.more && string(it.name()) == name {
				it.advance()
			}
		}
	}
	return nil
}

// stream checks what the spans say of one stream.
func (sc *scan) stream(v *view, name string, its []*tableRows, heads []*sorted.Cursor) {
	var behind standing
	for i, it := range its {
		if !it.more || string(it.name()) != name {
			continue
		}
		sp := v.spans[i]
		var e entry
		if e.parse(it.value(), sp.frames) != nil {
			return // reported
		}
		wrong := func(detail string) {
			sc.report(backend.Anomaly{Code: backend.WrongHead, Severity: backend.Damage, File: sp.name, Offset: sp.skipsEnd(), Stream: name, Version: e.Version, Detail: detail})
		}
		if v.misses(e.records, behind.records) || v.misses(e.snapshots, behind.snapshots) {
			wrong(fmt.Sprintf("it says that the stream's records before are in segments %d and %d, but they are in %d and %d", e.records, e.snapshots, behind.records, behind.snapshots))
		}
		if e.count > 0 && e.first > max(behind.Version+1, e.Floor) && !sc.holed(v, name, behind.Version+1, e.first) {
			sc.report(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, File: sp.name, Offset: e.off, Stream: name, Version: e.first,
				Detail: fmt.Sprintf("it follows version %d of its stream", behind.Version)})
		}
		behind = e.newest(sp.last)
	}
	var head standing
	for _, c := range heads {
		b, ok, err := c.Get(name, nil)
		if err != nil {
			return // reported
		}
		if ok {
			if _, err := head.parse(b); err != nil {
				head = standing{}
			}
			break
		}
	}
	if head.Version >= behind.Version && (v.givenUp(head.records) || v.givenUp(head.snapshots)) {
		return // the heads remember a span that was given up, so that no version is given again
	}
	said, held := head.Head, behind.Head
	if cut := sc.cutInLog(v, name); cut > 0 { // a span that was packed since knows of it, the heads do not yet
		said.Floor, held.Floor = max(said.Floor, cut), max(held.Floor, cut)
	}
	if said != held && len(heads) > 0 || head.pictured != behind.pictured && len(heads) > 0 {
		sc.report(backend.Anomaly{Code: backend.WrongHead, Severity: backend.Warning, File: v.heads[0].name, Offset: -1, Stream: name, Version: behind.Version,
			Detail: fmt.Sprintf("the heads say %+v, the spans %+v", head.Head, behind.Head)})
	}
	sc.joint(v, name, &behind)
}

// cutInLog returns the newest floor that a cut in the log has raised a stream's to; 0 if
// there is none.
func (sc *scan) cutInLog(v *view, name string) (floor backend.Version) {
	for _, sg := range v.segments {
		if st := sc.s.stream(sg, name); st != nil {
			floor = max(floor, st.floor)
		}
	}
	return floor
}

// givenUp reports whether a segment was packed into a span that is no more.
func (v *view) givenUp(id uint64) bool { return id > 0 && len(v.holes) > 0 && v.span(id) == nil }

// misses reports whether who goes by a segment's id misses records in another's span. What
// it leads to may have been cut away since: then that leads on.
func (v *view) misses(by, in uint64) bool {
	sp := v.span(in)
	return sp != nil && by < sp.first
}

// joint checks that a stream goes on in the log where the spans end.
func (sc *scan) joint(v *view, name string, behind *standing) {
	for _, sg := range v.segments {
		st := sc.s.stream(sg, name)
		if st == nil || !st.holdsVersions() {
			continue
		}
		cut := behind.Unreadable() || sc.cutInLog(v, name) > behind.Version // it may go on anywhere
		if st.first != behind.Version+1 && !cut && !sc.holed(v, name, behind.Version+1, st.first) {
			sc.report(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, File: sg.name, Offset: -1, Stream: name, Version: st.first,
				Detail: fmt.Sprintf("it follows version %d of its stream", behind.Version)})
		}
		return
	}
}

// holed reports whether quarantine has given up the versions from one to another, not
// included, or may have: so many records of streams that can't be told.
func (sc *scan) holed(v *view, name string, from, to backend.Version) bool {
	unknown := uint64(0)
	for i := range v.holes {
		h := &v.holes[i]
		if h.stream == name && h.lost.Version >= from && h.lost.Version < to {
			return true
		}
		if h.stream == "" {
			unknown += uint64(h.to - h.from + 1)
		}
	}
	return uint64(to-from) <= unknown
}
