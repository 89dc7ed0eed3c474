package file

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// checkCrash opens what a crash has left and judges it; then it appends, crashes again,
// and finds all of it. Everything is noted in f's log. n makes the cases differ.
func checkCrash(f *faultfs.FS, m *sweepMoment, n uint64) (err error) {
	b, err := openMem(f, sweepOptions())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() {
		if b != nil {
			_ = b.Close()
		}
	}()
	got, err := sweepRead(b, sweepAll)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	landed, err := m.judge(got)
	if err != nil {
		return err
	}
	if err := m.checkStreams(b, got, n%3 == 0); err != nil {
		return err
	}
	now := m.seen(got, b)
	f.Note(now)
	report, err := b.Scan(context.Background(), nil)
	if err != nil || !report.Clean() {
		return fmt.Errorf("scan: %w %v", err, report.Anomalies)
	}
	h := &sweepHistory{f: f, b: b, caps: b.Capabilities(), rng: rand.New(rand.NewPCG(n, 5)), now: *now, counts: map[string]int{}}
	if n%4 == 1 {
		if err := h.compact(); err != nil {
			return err
		}
	}
	if err := h.appendBatches(1); err != nil {
		return fmt.Errorf("append (%d batches under way had landed): %w", landed, err)
	}
	if n%5 == 2 {
		if err := h.recover(); err != nil {
			return err
		}
	}
	h.wait.Wait()
	if h.err != nil {
		return h.err
	}
	after, clean := f, n%2 == 0
	if clean {
		open := b
		b = nil
		if err := open.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		if left := f.Handles(); len(left) > 0 {
			return fmt.Errorf("files are left open: %v", left)
		}
	}
	after = f.Crash(faultfs.Some(rand.New(rand.NewPCG(n, 6))))
	o := sweepOptions()
	if n%4 < 2 {
		o = sweepReadOnly(o)
	}
	again, err := openMem(after, o)
	if err != nil {
		return fmt.Errorf("open again, read-only %v: %w", o.ReadOnly, err)
	}
	defer again.Close()
	known := h.know()
	got, err = sweepRead(again, sweepAll)
	if err == nil {
		_, err = known.judge(got)
	}
	if err == nil {
		err = known.checkStreams(again, got, n%3 == 1)
	}
	if err == nil && n%7 == 0 {
		var report *backend.ScanReport
		if report, err = again.Scan(context.Background(), nil); err == nil && !report.Clean() {
			err = fmt.Errorf("scan: %v", report.Anomalies)
		}
	}
	if err != nil {
		return fmt.Errorf("again, read-only %v, after a clean close %v: %w", o.ReadOnly, clean, err)
	}
	return nil
}

// sweepKeepHeads adds to what was read the newest record of each stream, and of the store, if a
// cut has taken it: versions and positions go on from it, and are never given twice.
func sweepKeepHeads(got, acked []sweepRecord) []sweepRecord {
	have := map[string]backend.Version{}
	for _, r := range got {
		if r.kind != backend.Snapshot {
			have[r.stream] = r.version
		}
	}
	all := got
	for i := len(acked) - 1; i >= 0; i-- {
		r := acked[i]
		newest := i == len(acked)-1 && (len(got) == 0 || got[len(got)-1].position < r.position)
		if r.kind != backend.Snapshot && r.version > have[r.stream] {
			have[r.stream], newest = r.version, true
		}
		if newest {
			all = append(slices.Clip(all), r)
		}
	}
	if len(all) > len(got) {
		slices.SortFunc(all, func(a, b sweepRecord) int { return cmp.Compare(a.position, b.position) })
	}
	return all
}
