package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/papyra-go/papyra/internal/pace"
)

// A row is one workload, measured on every engine that can do it.
type row struct {
	group   string // what -rows calls it; rows of a group stand in one part of the report
	name    string
	title   string
	unit    string // of a sample's value
	reps    int
	seconds float64 // roughly, for the time that is left
	can     func(engine) bool
	measure func(context.Context, *lab, engine) (sample, error)
}

// The names of the groups, in the order of the report.
const (
	appends    = "append"
	batches    = "batch"
	busy       = "busy"
	replays    = "replay"
	streams    = "stream"
	opens      = "open"
	scans      = "scan"
	disk       = "disk"
	compaction = "compact"
	growth     = "growth"
	memory     = "memory"
)

var groups = []string{appends, batches, busy, replays, streams, opens, scans, disk, compaction, growth, memory}

// The filled stores: a small one, one of ten times the events in as many streams, and
// the two that growth is measured on, whose streams are as long as each other's.
const (
	small  = "small"
	large  = "large"
	little = "little"
	huge   = "huge"
)

// A phase is rows that are measured in turn, repetition by repetition: repetition → row
// → engine. A phase begins when the one before has ended.
type phase []row

// phases are all rows of a run, as its settings want them.
func (s settings) phases() []phase {
	var write phase
	for _, n := range s.writers {
		write = append(write, s.appendRow(appends, "writers-"+strconv.Itoa(n), title(n, "writer"), load{writers: n, batch: 1}))
	}
	for _, n := range []int{100, 1000} {
		write = append(write, s.appendRow(batches, "batch-"+strconv.Itoa(n), "batches of "+thousands(float64(n)), load{writers: 1, batch: n}))
	}
	write = append(write, unyielding(s.appendRow(busy, "busy", "1 writer beside 4 CPU-bound goroutines", load{writers: 1, batch: 1, busy: 4})))

	perStream := s.perStream
	fills := phase{
		s.fillRow(small, s.streams, max(perStream/10, 1), s.streams, replays, streams, opens, scans, disk, compaction),
		s.fillRow(large, s.streams, perStream, s.streams, replays, streams, opens, scans, disk, compaction),
	}
	size := diskRow("disk", "disk", large)
	read := phase{
		s.replayRow("replay", "every record", large),
		s.streamRow("stream", title(perStream, "event")+" of one stream among "+thousands(float64(s.streams)), large),
		s.openRow("open-small", small),
		s.openRow("open-large", large),
		s.scanRow("scan", "scan of everything", scanner.scan),
		s.scanRow("recover", "recover that changes nothing", scanner.recoverNothing),
	}
	single := row{group: disk, name: "disk-single", title: "groups of one record", unit: "× the caller's bytes", reps: 1, seconds: 4, can: can[compactor],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.single(ctx, e) }}
	compact := row{group: compaction, name: "compact", title: "compaction", unit: "records/s", reps: 1, seconds: 3, can: can[compactor],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.compact(ctx, e, large) }}
	compacted := phase{
		afterCompaction(s.replayRow("replay-compacted", "replay, compacted", large)),
		afterCompaction(s.streamRow("stream-compacted", "one stream, compacted", large)),
		afterCompaction(row{group: compaction, name: "beside-compaction", title: "p99.9 of 1,024 writers during a compaction", unit: "µs", reps: s.reps(3), seconds: 4 * s.time.Seconds(), can: can[compactor],
			measure: func(ctx context.Context, l *lab, e engine) (sample, error) {
				return l.besideCompaction(ctx, e, load{writers: min(1024, l.streams), batch: 1})
			}}),
	}
	all := []phase{write, fills, {size}, read, {single}, {compact}, {afterCompaction(diskRow("disk-compacted", "disk, compacted", large))}, compacted}
	if s.long {
		all = append(all, s.growth()...)
		all = append(all, phase{s.memoryRow()})
	}
	for i := range all {
		all[i] = slices.DeleteFunc(all[i], func(r row) bool { return !slices.Contains(s.rows, r.group) })
	}
	return all
}

// growth compares a store of 100,000 records with one of 10 million: 100 in each stream,
// the streams living a thousand at a time, so that only the size of the store differs.
func (s settings) growth() []phase {
	const perStream, window = 100, 1000
	var fills, reads, writes phase
	for _, g := range []struct {
		name    string
		streams int
	}{{little, s.growFrom / perStream}, {huge, s.growTo / perStream}} {
		title := thousands(float64(g.streams*perStream)) + " records"
		grows := func(e engine) bool { return e.name == fileEngine.name || e.name == pebbleEngine.name }
		fills = append(fills, s.fillRow(g.name, g.streams, perStream, window, growth))
		reads = append(reads, s.streamRow("growth-stream-"+g.name, "one stream of 100 among "+title, g.name))
		writes = append(writes, row{name: "growth-append-" + g.name, title: "64 writers on " + title, unit: "events/s", reps: s.reps(5), seconds: s.time.Seconds() + 1,
			measure: func(ctx context.Context, l *lab, e engine) (got sample, err error) {
				err = l.use(ctx, e, g.name, func(st store, h heads) error {
					got, err = l.drive(st, h, load{writers: min(64, len(h)), batch: 1})
					return err
				})
				return got, err
			}})
		for _, p := range []phase{fills, reads, writes} {
			p[len(p)-1].group, p[len(p)-1].can = growth, grows
		}
	}
	return []phase{fills, reads, writes}
}

func (s settings) appendRow(group, name, title string, load load) row {
	return row{group: group, name: name, title: title, unit: "events/s", reps: s.reps(5), seconds: s.time.Seconds() + 0.5, can: can[appender],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.append(ctx, e, load) }}
}

// unyielding measures a row once more, as the other value, while papyra's group commit does
// not yield the processor. Others are measured as they are.
func unyielding(r row) row {
	measure := r.measure
	r.measure = func(ctx context.Context, l *lab, e engine) (sample, error) {
		got, err := measure(ctx, l, e)
		if err != nil || e.name != fileEngine.name {
			return got, err
		}
		pace.Never(true)
		defer pace.Never(false)
		twin, err := measure(ctx, l, e)
		got.Twin = twin.Value
		return got, err
	}
	return r
}

// memoryRow measures what a store of very many streams keeps in memory.
func (s settings) memoryRow() row {
	return row{group: memory, name: "memory", title: "memory while single streams are read, of " + title(s.crowd, "stream"), unit: "MiB", reps: 1, seconds: float64(s.crowd) / 100e3, can: can[crowded],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.memory(ctx, e) }}
}

// fillRow fills stores that rows of the given groups need.
func (s settings) fillRow(name string, streams, perStream, window int, needed ...string) row {
	group := ""
	for _, g := range needed {
		if slices.Contains(s.rows, g) {
			group = g
		}
	}
	return row{group: group, name: "fill-" + name, title: "filling a store with " + title(streams*perStream, "event"), unit: "events/s", reps: 1, seconds: float64(streams*perStream) / 200e3, can: can[appender],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) {
			return l.fill(ctx, e, name, streams, perStream, window)
		}}
}

func (s settings) replayRow(name, title, of string) row {
	return row{group: replays, name: name, title: title, unit: "records/s", reps: s.reps(3), seconds: 1.2, can: can[replayer],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.replay(ctx, e, of) }}
}

func (s settings) streamRow(name, title, of string) row {
	return row{group: streams, name: name, title: title, unit: "µs", reps: s.reps(3), seconds: 0.3, can: can[streamReader],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.stream(ctx, e, of) }}
}

func (s settings) openRow(name, of string) row {
	return row{group: opens, name: name, title: "opening the " + of + " store", unit: "ms", reps: s.reps(3), seconds: 0.5, can: can[store],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.open(ctx, e, of) }}
}

func (s settings) scanRow(name, title string, check func(scanner, context.Context) error) row {
	return row{group: scans, name: name, title: title, unit: "records/s", reps: s.reps(3), seconds: 0.5, can: can[scanner],
		measure: func(ctx context.Context, l *lab, e engine) (sample, error) { return l.scan(ctx, e, large, check) }}
}

func diskRow(name, title, of string) row {
	return row{group: disk, name: name, title: title, unit: "× the caller's bytes", reps: 1, seconds: 0.1, can: can[store],
		measure: func(_ context.Context, l *lab, e engine) (sample, error) { return l.disk(e, of) }}
}

// afterCompaction measures r on the engines whose stores are compacted by then.
func afterCompaction(r row) row {
	measure := r.measure
	r.group, r.can = compaction, can[compactor]
	r.measure = func(ctx context.Context, l *lab, e engine) (sample, error) {
		if !l.compacts[e.name] {
			return sample{}, errNotYet
		}
		return measure(ctx, l, e)
	}
	return r
}

func title(n int, thing string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", thing)
	}
	return fmt.Sprintf("%s %ss", thousands(float64(n)), thing)
}
