package main

import (
	"fmt"
	"math"
)

// A goal is a figure that is wanted of an engine of papyra: docs/performance.md has how it is met.
type goal struct {
	what   string
	figure string  // the engine's own
	ratio  float64 // measured, against what the goal is about; NaN: not measured
	bound  float64
	most   bool   // the bound is an upper one
	about  string // what the ratio is of
}

// verdict of a goal, in one word; a figure that was not measured is none.
func (g goal) verdict() string {
	switch {
	case math.IsNaN(g.ratio):
		return "n/a"
	case g.most && g.ratio <= g.bound, !g.most && g.ratio >= g.bound:
		return "met"
	}
	return "MISSED"
}

func (g goal) wanted() string {
	sign := "≥"
	if g.most {
		sign = "≤"
	}
	return fmt.Sprintf("%s %s %s", sign, trim(g.bound), g.about)
}

// goals are all that the run could judge, and those that it could not.
func goals(r *results) []goal {
	file := func(row string, f func(sample) float64) float64 { return r.of(row, "file").median(f) }
	against := func(row, peer string) float64 { return file(row, value) / r.of(row, peer).value() }
	best := func(row string) float64 {
		for _, name := range r.ranked(row, highest) {
			if !papyras(name) {
				return against(row, name)
			}
		}
		return math.NaN()
	}
	var all []goal
	add := func(what, unit string, figure, ratio float64, most bool, bound float64, about string) {
		text := "n/a"
		if !math.IsNaN(figure) {
			text = short(figure) + " " + unit
		}
		all = append(all, goal{what, text, ratio, bound, most, about})
	}
	least := func(what, unit string, figure, ratio, bound float64, about string) {
		add(what, unit, figure, ratio, false, bound, about)
	}
	most := func(what, unit string, figure, ratio, bound float64, about string) {
		add(what, unit, figure, ratio, true, bound, about)
	}
	inFlushes := func(s sample) float64 { return s.P99 / s.Flush }

	one, many, crowd := "writers-1", "writers-64", "writers-1024"
	least("1 writer", "events/s", file(one, value), file(one, toProbe), 0.85, "× probe")
	least("1 writer", "events/s", file(one, value), against(one, "raft-wal"), 0.95, "× raft-wal")
	most("1 writer", "allocations an append", file(one, allocs), file(one, allocs), 1, "allocations")
	least("64 writers", "events/s", file(many, value), against(many, "pebble"), 2.5, "× pebble")
	least("64 writers", "events/s", file(many, value), file(many, toProbe)/64, 0.6, "× 64 × probe")
	most("64 writers, p99", "µs", file(many, p99), file(many, inFlushes), 4, "flushes")
	most("64 writers", "allocations an append", file(many, allocs), file(many, allocs), 0.1, "allocations")
	least("1,024 writers", "events/s", file(crowd, value), against(crowd, "pebble"), 3, "× pebble")
	most("1,024 writers, p99.9 during a compaction", "µs", file("beside-compaction", value), file("beside-compaction", toTwin), 2, "× idle")
	least("batches of 100", "events/s", file("batch-100", value), best("batch-100"), 1.8, "× the best peer")
	least("batches of 1,000", "events/s", file("batch-1000", value), best("batch-1000"), 2, "× the best peer")

	for _, g := range []struct {
		what, row   string
		engine, raw engine
		bound       float64
		about       string
	}{
		{"bolt, 1 writer", one, boltEngine, bboltEngine, 0.9, "× bbolt.Update"},
		{"bolt, 64 writers", many, boltEngine, bboltEngine, 1.5, "× bbolt.Batch at 1 ms"},
		{"bolt, 1,024 writers", crowd, boltEngine, bboltEngine, 0.9, "× bbolt.Batch at 1 ms"},
		{"pebble, 1 writer", one, papyraPebbleEngine, pebbleEngine, 1, "× pebble itself"},
		{"pebble, 64 writers", many, papyraPebbleEngine, pebbleEngine, 1.3, "× pebble itself"},
		{"pebble, 1,024 writers", crowd, papyraPebbleEngine, pebbleEngine, 1, "× pebble itself"},
	} {
		figure := r.of(g.row, g.engine.name).value()
		least(g.what, "events/s", figure, figure/r.of(g.row, g.raw.name).value(), g.bound, g.about)
	}

	cached := func(s sample) float64 { return s.Cached }
	least("replay", "records/s", file("replay", value), against("replay", "pebble"), 3, "× pebble")
	least("replay", "records/s", file("replay", value), against("replay", "raft-wal"), 20, "× raft-wal")
	least("replay", "records/s", file("replay", value), file("replay", cached), 0.25, "× cached reads of the same files")
	most("replay", "allocations a record", file("replay", allocs), file("replay", allocs), 0.01, "allocations")
	least("replay, compacted", "records/s", file("replay-compacted", value), file("replay-compacted", cached), 0.15, "× cached reads of the same files")
	most("one stream", "µs", file("stream", value), against("stream", "bbolt"), 1, "× bbolt's time")
	most("one stream, compacted", "µs", file("stream-compacted", value), file("stream-compacted", value), 6, "µs")
	most("open, 10 × the records", "ms", file("open-large", value), file("open-large", value)/file("open-small", value), 1.3, "× the time")
	most("10 million streams, opened", "MiB", file("memory", twin), file("memory", twin), memoryMost, "MiB")
	most("10 million streams, read", "MiB", file("memory", value), file("memory", value), memoryMost, "MiB")
	least("scan", "records/s", file("scan", value), file("scan", value)/1e6, 8, "million a second")
	least("recover, changing nothing", "records/s", file("recover", value), file("recover", value)/1e6, 8, "million a second")
	most("disk, compacted", "× the caller's bytes", file("disk-compacted", value), file("disk-compacted", lessAllowance), 1.12, "× the caller's bytes + 256 KiB")
	least("beside 4 CPU-bound goroutines", "events/s", file("busy", value), file("busy", toTwin), 0.9, "× without yielding")
	least("growth, durable rate", "events/s", file("growth-append-huge", value), file("growth-append-huge", value)/file("growth-append-little", value), 0.9, "× at 100,000 records")
	most("growth, one stream", "µs", file("growth-stream-huge", value), file("growth-stream-huge", value)/file("growth-stream-little", value), 1.2, "× at 100,000 records")
	return all
}

// papyras reports whether an engine is one of papyra's own.
func papyras(name string) bool {
	return name == fileEngine.name || name == boltEngine.name || name == papyraPebbleEngine.name
}

// memoryMost is what a store of 10 million streams may keep in memory, in MiB: docs/file-format.md,
// Memory. The tables of at most 48 MiB of log take some 100 where each record is of a stream of its own,
// leaves 32, index blocks some 5; the rest is for what is read and for the garbage collector.
const memoryMost = 256

// lessAllowance is what a store takes beyond the 256 KiB that it may have at any size.
func lessAllowance(s sample) float64 { return (s.Disk - 256<<10) / s.Caller }

func goalTable(r *results) table {
	t := table{head: []string{"what", "figure", "wanted", "measured", ""}, left: 1}
	for _, g := range goals(r) {
		verdict, measured := g.verdict(), trim(g.ratio)
		if verdict == "MISSED" {
			verdict = "**MISSED**"
		}
		t.add(g.what, g.figure, g.wanted(), measured, verdict)
	}
	return t
}
