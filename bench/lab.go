package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// lab is where measurements are made: a directory, and what the rows share.
type lab struct {
	settings
	dir      string
	probe    *probe
	settle   func()             // before a run: writes out what earlier ones left in the page cache
	filled   map[string]*filled // by engine and name
	compacts map[string]bool    // by engine: its filled store is compacted; false: it can't
}

// filled is a store of known content that is kept, closed, for several rows.
type filled struct {
	dir   string
	heads heads
}

func newLab(s settings) (*lab, error) {
	dir, err := os.MkdirTemp(s.dir, "papyra-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{settings: s, dir: dir, settle: settle, filled: map[string]*filled{}, compacts: map[string]bool{}}
	if l.probe, err = newProbe(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return l, nil
}

func (l *lab) Close() error { return errors.Join(l.probe.Close(), os.RemoveAll(l.dir)) }

// with opens an engine's store, lets f use it and closes it.
func with(ctx context.Context, e engine, dir string, writers int, f func(store) error) (err error) {
	s, err := e.open(ctx, dir, writers)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return f(s)
}

// fresh runs f with the path of a new directory, which is removed afterwards.
func (l *lab) fresh(e engine, f func(dir string) error) error {
	dir := filepath.Join(l.dir, "fresh-"+e.name)
	return errors.Join(f(dir), os.RemoveAll(dir))
}

// append measures appends to a new store that holds one event in each stream. The probe
// runs just before and just after. Then the store is closed, opened again and read: it
// must hold what was acknowledged.
func (l *lab) append(ctx context.Context, e engine, load load) (got sample, err error) {
	err = l.fresh(e, func(dir string) error {
		h := make(heads, l.streams)
		if err := with(ctx, e, dir, load.writers, func(s store) error {
			if err := fill(ctx, s, h, 1, l.streams); err != nil {
				return err
			}
			got, err = l.drive(s, h, load)
			return err
		}); err != nil {
			return err
		}
		return with(ctx, e, dir, 0, func(s store) error { return verify(ctx, s, h) })
	})
	return got, err
}

// drive is load.drive between two probes.
func (l *lab) drive(s store, h heads, load load) (sample, error) {
	l.settle()
	before, err := l.probe.run(l.probeTime())
	if err != nil {
		return sample{}, err
	}
	got, err := load.drive(s.(appender), h, l.time, nil)
	if err != nil {
		return sample{}, err
	}
	after, err := l.probe.run(l.probeTime())
	got.Probe, got.Flush = (before.Value+after.Value)/2, (before.P50+after.P50)/2
	return got, err
}

func (l *lab) probeTime() time.Duration { return min(l.time/4, 100*time.Millisecond) }

// fill makes the store of the given name, for good, and returns how fast.
func (l *lab) fill(ctx context.Context, e engine, name string, streams, perStream, window int) (got sample, err error) {
	f := &filled{dir: filepath.Join(l.dir, name+"-"+e.name), heads: make(heads, streams)}
	start := time.Now()
	err = with(ctx, e, f.dir, 0, func(s store) error { return fill(ctx, s, f.heads, perStream, window) })
	got.Value = float64(streams*perStream) / time.Since(start).Seconds()
	l.settle()
	l.filled[name+e.name] = f
	return got, err
}

// use opens a filled store.
func (l *lab) use(ctx context.Context, e engine, name string, f func(store, heads) error) error {
	at, ok := l.filled[name+e.name]
	if !ok {
		return errors.New("the store was not filled")
	}
	return with(ctx, e, at.dir, 0, func(s store) error { return f(s, at.heads) })
}

// replay measures reading all of a filled store, and beside it how long it takes to read
// the bytes of its files from the page cache, once it is closed. What was read is compared
// with what was written.
func (l *lab) replay(ctx context.Context, e engine, name string) (got sample, err error) {
	err = l.use(ctx, e, name, func(s store, h heads) error {
		var read tally
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		if err := s.(replayer).replay(ctx, read.add); err != nil {
			return err
		}
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		n := float64(read.events)
		got = sample{Value: n / took.Seconds(), Allocs: float64(after.Mallocs-before.Mallocs) / n}
		return read.want(h.tally())
	})
	if err != nil {
		return got, err
	}
	cached, err := readFiles(l.filled[name+e.name].dir)
	got.Cached = cached.Seconds() * got.Value / float64(l.filled[name+e.name].heads.events())
	return got, err
}

// stream measures reading single streams, picked at random. The value is the median.
func (l *lab) stream(ctx context.Context, e engine, name string) (got sample, err error) {
	err = l.use(ctx, e, name, func(s store, h heads) error {
		var took histogram
		runtime.GC()
		for i := range streamReads + streamWarm {
			stream := rand.IntN(len(h))
			var read tally
			start := time.Now()
			if err := s.(streamReader).readStream(ctx, stream, read.add); err != nil {
				return err
			}
			if d := time.Since(start); i >= streamWarm {
				took.add(d)
			}
			if err := read.want(h.add(tally{}, stream)); err != nil {
				return fmt.Errorf("stream %d: %w", stream, err)
			}
		}
		got = sample{Value: took.percentile(50), P50: took.percentile(50), P99: took.percentile(99), P999: took.percentile(99.9)}
		return nil
	})
	return got, err
}

const (
	streamReads = 1000 // streams that are read
	streamWarm  = 5000 // and before the clock starts: what a store keeps in memory is there then
)

// open measures opening a filled store that was closed in order, in milliseconds: the
// median of a few.
func (l *lab) open(ctx context.Context, e engine, name string) (sample, error) {
	var all []float64
	for begin := time.Now(); len(all) < 5 && (len(all) == 0 || time.Since(begin) < 300*time.Millisecond); {
		runtime.GC()
		start := time.Now()
		if err := l.use(ctx, e, name, func(store, heads) error {
			all = append(all, time.Since(start).Seconds()*1e3)
			return nil
		}); err != nil {
			return sample{}, err
		}
	}
	return sample{Value: median(all)}, nil
}

// scan measures an integrity check of all of a filled store.
func (l *lab) scan(ctx context.Context, e engine, name string, check func(scanner, context.Context) error) (got sample, err error) {
	err = l.use(ctx, e, name, func(s store, h heads) error {
		start := time.Now()
		if err := check(s.(scanner), ctx); err != nil {
			return err
		}
		got.Value = float64(h.events()) / time.Since(start).Seconds()
		return nil
	})
	return got, err
}

// disk is what a filled and closed store takes on the disk, for each byte of its caller.
func (l *lab) disk(e engine, name string) (sample, error) {
	at, ok := l.filled[name+e.name]
	if !ok {
		return sample{}, errors.New("the store was not filled")
	}
	return measureDisk(e, at)
}

func measureDisk(e engine, at *filled) (got sample, err error) {
	err = files(at.dir, func(_ string, info fs.FileInfo) error {
		got.Disk += float64(onDisk(info))
		return nil
	})
	for stream, n := range at.heads {
		got.Caller += float64(n) * float64(payloadBytes+e.names(stream))
		got.Events += float64(n)
	}
	got.Value = got.Disk / got.Caller
	return got, err
}

// single is disk for a store that was written an event at a time by one writer, so that
// each has a sync, and whatever goes with one, to itself.
func (l *lab) single(ctx context.Context, e engine) (got sample, err error) {
	err = l.fresh(e, func(dir string) error {
		at := &filled{dir: dir, heads: make(heads, max(l.streams/5, 1))}
		if err := with(ctx, e, dir, 1, func(s store) error {
			write := s.(appender).writer()
			for i := range 10 * len(at.heads) {
				if err := write(at.heads.next(nil, i%len(at.heads), 1)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		got, err = measureDisk(e, at)
		return err
	})
	return got, err
}

// compact compacts a filled store.
func (l *lab) compact(ctx context.Context, e engine, name string) (got sample, err error) {
	l.compacts[e.name] = false
	err = l.use(ctx, e, name, func(s store, h heads) error {
		start := time.Now()
		if err := s.(compactor).compact(ctx); err != nil {
			return err
		}
		got.Value = float64(h.events()) / time.Since(start).Seconds()
		return nil
	})
	l.compacts[e.name] = err == nil
	l.settle()
	return got, err
}

// besideCompaction measures what one append in a thousand exceeds while a store that
// holds something is compacted, again and again if once is over too soon, and, as the
// other value, just before, with nothing beside it.
func (l *lab) besideCompaction(ctx context.Context, e engine, load load) (got sample, err error) {
	err = l.fresh(e, func(dir string) error {
		h := make(heads, l.streams)
		if err := with(ctx, e, dir, load.writers, func(s store) error {
			if err := fill(ctx, s, h, 20, l.streams); err != nil {
				return err
			}
			idle, err := l.drive(s, h, load)
			if err != nil {
				return err
			}
			compacted := make(chan error, 1)
			end := time.Now().Add(l.time)
			go func() {
				var err error
				for err == nil && time.Now().Before(end) {
					err = s.(compactor).compact(ctx)
				}
				compacted <- err
			}()
			got, err = load.drive(s.(appender), h, l.time, func() bool { return len(compacted) > 0 })
			got.Value, got.Twin = got.P999, idle.P999
			return errors.Join(err, <-compacted)
		}); err != nil {
			return err
		}
		return with(ctx, e, dir, 0, func(s store) error { return verify(ctx, s, h) })
	})
	return got, err
}

// files calls f with each file under dir.
func files(dir string, f func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return f(path, info)
	})
}

// readFiles reads all files under dir twice, 1 MiB at a time, and returns how long the
// second time took: the first brings them into the page cache.
func readFiles(dir string) (took time.Duration, err error) {
	block := make([]byte, 1<<20)
	for range 2 {
		start := time.Now()
		if err := files(dir, func(path string, _ fs.FileInfo) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			for at := int64(0); ; {
				n, err := f.ReadAt(block, at)
				if at += int64(n); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
			}
		}); err != nil {
			return 0, err
		}
		took = time.Since(start)
	}
	return took, nil
}
