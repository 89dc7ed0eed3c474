package kv

import (
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// standing is where a stream stands, as the engine holds it.
type standing struct {
	head  head
	known bool // the engine holds it: the stream is not new
}

// latelyKept is how many streams lately remembers at least; it is twice as many at most.
const latelyKept = 1 << 15

// lately is where the streams stand that were appended to lately, so that an append need not
// ask the engine, which would have to look for each in what it has in memory and on the
// medium. What is used goes to the newer map; when that is full it becomes the older one, and
// what was there is forgotten.
//
// It is guarded by Log.writing: whoever else writes heads forgets them here.
type lately struct {
	newer, older map[string]*standing
}

// get returns where a stream stands; nil: that is not known here.
func (l *lately) get(stream string) *standing {
	if at := l.newer[stream]; at != nil {
		return at
	}
	at := l.older[stream]
	if at != nil {
		l.put(stream, at)
	}
	return at
}

func (l *lately) put(stream string, at *standing) {
	if len(l.newer) >= latelyKept {
		l.older, l.newer = l.newer, nil
	}
	if l.newer == nil {
		l.newer = map[string]*standing{}
	}
	l.newer[stream] = at
}

func (l *lately) forget(stream string) {
	delete(l.newer, stream)
	delete(l.older, stream)
}

func (l *lately) forgetAll() { *l = lately{} }

// run is what an append stores in one stream.
type run struct {
	stream  string
	records []*backend.Record // in order
	at      *standing         // before the append
	next    head              // after it
}

// byStream sorts records into runs, in the order of the streams' names: keys that lie
// together in the engine are then written together, which costs it far less. Both slices
// are used again.
func byStream(records []backend.Record, order []*backend.Record, runs []run) ([]*backend.Record, []run) {
	order, runs = order[:0], runs[:0]
	sorted := true
	for i := range records {
		order = append(order, &records[i])
		sorted = sorted && (i == 0 || records[i-1].Stream <= records[i].Stream)
	}
	if !sorted { // positions grow: the order is that of the append within a stream
		slices.SortFunc(order, func(a, b *backend.Record) int {
			if c := strings.Compare(a.Stream, b.Stream); c != 0 {
				return c
			}
			if a.Position < b.Position {
				return -1
			}
			return 1
		})
	}
	for i := 0; i < len(order); {
		first := i
		for i++; i < len(order) && order[i].Stream == order[first].Stream; i++ {
		}
		runs = append(runs, run{stream: order[first].Stream, records: order[first:i]})
	}
	return order, runs
}
