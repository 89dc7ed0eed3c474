package file

import (
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// snapshots reads the snapshots beside a stream, ordered by (version, position).
func (r *reader) snapshots(q backend.Query, yield func(backend.Record, error) bool) error {
	h, _, err := r.s.standing(r.v, q.Stream)
	if err != nil {
		return err
	}
	var doubt error
	if hole := r.v.holes.above(0); hole != nil {
		doubt = doubtful(q.Stream, hole) // they are not dense, so that no later record proves that none is lost
	}
	if doubt != nil && q.Reverse {
		return doubt
	}
	list, err := r.snapshotSpots(&q, &h)
	if err != nil {
		return err
	}
	for i := range list {
		at := &list[i]
		if q.Reverse {
			at = &list[len(list)-1-i]
		}
		if err := r.snapshot(&q, at); err != nil {
			return err
		}
		if err := r.hand(&q, yield); err != nil {
			return err
		}
	}
	return doubt
}

// snapshotSpot is where one snapshot is.
type snapshotSpot struct {
	sg *segment
	sp *span
	spot
}

func (r *reader) snapshot(q *backend.Query, at *snapshotSpot) (err error) {
	file := ""
	if at.sp != nil {
		file, err = at.sp.name, r.loadSpot(at.sp, &at.spot, leastRead)
	} else {
		file, err = at.sg.name, r.load(at.sg, at.place, leastRead)
	}
	if err != nil {
		return blame(err, q.Stream, at.version)
	}
	if r.record.Stream != q.Stream || r.record.Version != at.version {
		return swapped(file, at.off, q.Stream, at.version, at.position)
	}
	return nil
}

// snapshotSpots returns where the snapshots that a query asks for are.
func (r *reader) snapshotSpots(q *backend.Query, h *standing) (list []snapshotSpot, err error) {
	add := func(at snapshotSpot) {
		if uint64(at.version) >= q.From && uint64(at.version) <= q.To && !h.gone(backend.Snapshot, at.version, at.position) {
			list = append(list, at)
		}
	}
	if len(r.v.spans) > 0 {
		behind, err := r.v.standing(q.Stream)
		if err != nil {
			return nil, err
		}
		for id := behind.snapshots; id > 0; {
			sp, e, err := r.v.holding(id, q.Stream)
			if err != nil {
				return nil, err
			}
			if sp == nil {
				break
			}
			if e.snaps > 0 {
				spots, err := sp.spots(&r.window, &r.decoder, &e, r.spots[:0])
				if r.spots = spots; err != nil {
					return nil, blame(err, q.Stream, 0)
				}
				for _, at := range spots[e.count:] {
					add(snapshotSpot{sp: sp, spot: at})
				}
			}
			id = e.snapshots
		}
	}
	for _, sg := range r.v.segments {
		if st := r.s.stream(sg, q.Stream); st != nil {
			for _, sn := range st.snapshots {
				add(snapshotSpot{sg: sg, spot: spot{place: sn.place, version: sn.version, off: int64(sn.off)}})
			}
		}
	}
	slices.SortFunc(list, func(a, b snapshotSpot) int {
		if a.version != b.version {
			return int(int64(a.version) - int64(b.version))
		}
		return int(int64(a.position) - int64(b.position))
	})
	return list, nil
}
