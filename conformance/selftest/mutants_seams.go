package selftest

import (
	"context"
	"errors"
	"iter"
	"os"
	"runtime"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
)

// flawed is a mutant whose engine is wrong where its medium fails.
func flawed(target conformance.ID, name string, f flaws) mutant {
	return mutant{target, name, variant{flaws: f}}
}

func seamMutants() []mutant {
	return []mutant{
		flawed("OPEN-13", "a read-only opening notes that it was there", flaws{readOnlyWrites: true}),
		broken("OPEN-13", "what a read-only backend refuses is noted", eachResult(func(h *hooked, _ *backend.Batch, r *backend.Result) {
			if errors.Is(r.Err, backend.ErrUnsupported) && len(h.w.disk.groups) > 0 {
				h.w.disk.note()
			}
		})),
		flawed("OPEN-15", "a read-only opening makes the store", flaws{readOnlyMakes: true}),
		flawed("LOCK-03", "the lock of a killed process stays", flaws{killLocks: true}),
		flawed("LOCK-04", "the lock is one of this process alone", flaws{childUnlocked: true}),
		{"SCAN-01", "a scan takes large records for damage", variant{driver: func(_ *world, d backend.Driver) backend.Driver { return alarmist{d} }}},
		flawed("SCAN-02", "a scan does not look at checksums", flaws{scanBlind: true}),
		flawed("SCAN-03", "a scan notes when it was made", flaws{scanWrites: true}),
		flawed("SCAN-04", "a scan needs the lock", flaws{scanNeedsWriter: true}),
		flawed("SCAN-05", "a second scan finds nothing", flaws{scanOnce: true}),
		flawed("SCAN-06", "a scan stops at the first finding", flaws{scanFirst: true}),
		broken("SCAN-07", "a scan that is cancelled is damage", func(_ *world, h *hooked) {
			h.scan = func(ctx context.Context, o *backend.ScanOptions, next scanFunc) (*backend.ScanReport, error) {
				already := ctx.Err() != nil
				report, err := next(ctx, o)
				if !already && ctx.Err() != nil {
					err = &backend.OpError{Op: backend.OpScan, Backend: "variant", Err: backend.ErrCorrupt}
				}
				return report, err
			}
		}),
		broken("SCAN-07", "a scan goes on, whatever becomes of its context", func(_ *world, h *hooked) {
			h.scan = func(ctx context.Context, o *backend.ScanOptions, next scanFunc) (*backend.ScanReport, error) {
				if ctx.Err() == nil {
					ctx = context.WithoutCancel(ctx)
				}
				return next(ctx, o)
			}
		}),
		broken("SCAN-10", "a scan tells nothing", telling(func(func(done, total int64)) func(done, total int64) { return nil })),
		broken("SCAN-10", "a scan does not tell its end", telling(func(tell func(done, total int64)) func(done, total int64) {
			return func(done, total int64) {
				if done < total {
					tell(done, total)
				}
			}
		})),
		broken("SCAN-10", "progress begins anew", telling(func(tell func(done, total int64)) func(done, total int64) {
			return func(done, total int64) {
				tell(done, total)
				tell(done/2, total)
				tell(done, total)
			}
		})),
		broken("SCAN-10", "a scan tells who asked before", func(_ *world, h *hooked) {
			var before func(done, total int64)
			telling(func(tell func(done, total int64)) func(done, total int64) {
				asked := before
				before = tell
				return func(done, total int64) {
					tell(done, total)
					if asked != nil {
						asked(done, total)
					}
				}
			})(nil, h)
		}),
		flawed("SCAN-08", "reads do not check", flaws{readBlind: true}),
		flawed("SCAN-08", "a stream ends before its damaged end", flaws{headShort: true}),
		flawed("SCAN-11", "reads leave out what does not pass its check", flaws{readSkips: true}), // Papyra
		flawed("SCAN-09", "findings have no place", flaws{scanNowhere: true}),
		broken("METRIC-06", "a scan that finds something counts one more", func(_ *world, h *hooked) {
			h.scan = func(ctx context.Context, o *backend.ScanOptions, next scanFunc) (*backend.ScanReport, error) {
				report, err := next(ctx, o)
				if err == nil && !report.Clean() {
					h.counters().ScanAnomalies.Add(1)
				}
				return report, err
			}
		}),
		flawed("RECOVER-01", "a dry run notes that it was made", flaws{dryWrites: true}),
		flawed("RECOVER-02", "a quarantine marks nothing", flaws{quarantineIdle: true}),
		flawed("RECOVER-03", "a quarantine takes a neighbour too", flaws{quarantineNeighbour: true}),
		flawed("RECOVER-04", "a quarantine leaves an empty record", flaws{quarantineFills: true}),
		flawed("RECOVER-05", "a quarantine does not say where the bytes are", flaws{quarantineSilent: true}),
		flawed("RECOVER-06", "a dry run has nothing to do", flaws{dryForgets: true}),
		flawed("RECOVER-07", "a quarantine does it again, over the one before", flaws{quarantineAgain: true}),
		flawed("RECOVER-08", "a quarantine rewrites the log in place", flaws{quarantineInPlace: true}),
		broken("RECOVER-09", "after a quarantine a version is left out", afterQuarantine(eachResult(func(_ *hooked, _ *backend.Batch, r *backend.Result) {
			if r.Err == nil {
				r.Version++
			}
		}))),
		flawed("RECOVER-12", "a quarantine that finds no space cuts the log", flaws{quarantineFull: true}),
		flawed("RECOVER-13", "a repair drops what follows damage", flaws{repairDrops: true}), // Papyra
		flawed("CRASH-01", "snapshots are not synced", flaws{snapshotsUnsynced: true}),
		flawed("CRASH-01", "batches of more than three records are not synced", flaws{largeUnsynced: true}),
		flawed("CRASH-02", "what is left of a torn batch is shown", flaws{tornShown: true}),
		flawed("CRASH-03", "a torn tail is damage", flaws{tornRefused: true}),
		flawed("CRASH-04", "an append stands behind the fragment of a torn one", flaws{tornGlued: true}), // Papyra
		flawed("CRASH-05", "appends are acknowledged from a buffer", flaws{killLoses: true}),             // ego
		flawed("CRASH-06", "the directory is not synced", flaws{unnamed: true}),                          // Papyra
		flawed("CRASH-08", "a torn tail is cut by writing the log anew", flaws{tornRewritten: true}),
		flawed("COMPACT-15", "a compaction writes the log anew in place", flaws{cutInPlace: true}), // Papyra
		flawed("COMPACT-16", "a compaction that fails has cut more", flaws{cutHalf: true}),
		flawed("COMPACT-17", "a compaction drops what does not pass its check", flaws{cutDrops: true}), // Papyra
		broken("COMPACT-18", "the report of a compaction is that of the one before", func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				report, err := next(ctx, cut)
				if err == nil {
					report.RecordsAfter, report.BytesAfter = report.RecordsBefore, report.BytesBefore
				}
				return report, err
			}
		}),
		broken("COMPACT-19", "the report does not count snapshots", counting(func(report *backend.CompactionReport) {
			report.RecordsBefore, report.RecordsAfter = report.RecordsBefore-2, report.RecordsAfter-2
		})),
		broken("COMPACT-19", "the report says that one more went", counting(func(report *backend.CompactionReport) { report.RecordsAfter = max(report.RecordsAfter-1, 0) })),
		broken("COMPACT-19", "the report counts bytes in kilobytes", counting(func(report *backend.CompactionReport) {
			report.BytesBefore, report.BytesAfter = report.BytesBefore>>10, report.BytesAfter>>10
		})),
		flawed("FAULT-01", "a full disk poisons", flaws{fullPoisons: true}),
		flawed("FAULT-02", "the half of a batch that was written is shown", flaws{shortShown: true}),
		flawed("FAULT-03", "a failed sync is forgotten", flaws{syncForgotten: true}),
		flawed("FAULT-03", "a failed sync is acknowledged", flaws{syncIgnored: true}),
		flawed("FAULT-04", "a read error is the end", flaws{readEnds: true}),
		flawed("FAULT-05", "what could not be written is there", flaws{failedKept: true}),
		flawed("FAULT-06", "what is written again has lost its ID", flaws{pendingNameless: true}),
		flawed("FAULT-07", "a write that fails is tried a thousand times", flaws{retries: true}),
		broken("FORMAT-01", "the schema of old records is lost", func(w *world, h *hooked) {
			if w.disk.format < thisFormat {
				eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { r.Schema = 0; return true })(w, h)
			}
		}),
		flawed("FORMAT-02", "a newer format is read as this one", flaws{newerOpened: true}),
		flawed("FORMAT-02", "a newer format is refused, and touched", flaws{newerTouched: true}),
		broken("FORMAT-03", "an upgrade forgets epochs", func(w *world, h *hooked) {
			if w.disk.format < thisFormat {
				eachRecord(func(w *world, _ backend.Query, r *backend.Record) bool {
					if w.disk.format == thisFormat {
						r.Schema++
					}
					return true
				})(w, h)
			}
		}),
		broken("FORMAT-05", "a compaction of an old store forgets schemas", func(w *world, h *hooked) {
			old := w.disk.format < thisFormat
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				if old {
					eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { r.Schema = 0; return true })(w, h)
				}
				return next(ctx, cut)
			}
		}),
		flawed("FORMAT-04", "an upgrade rewrites in place", flaws{upgradeInPlace: true}),
		flawed("FORMAT-06", "what is no store becomes one", flaws{foreignTaken: true}),
		flawed("FORMAT-06", "what is no store is refused, and touched", flaws{foreignTouched: true}),
		{"FORMAT-06", "what is no store is unavailable", variant{opening: func(w *world, _ context.Context, _ *backend.Options) error {
			if w.disk.foreign {
				return backend.ErrUnavailable
			}
			return nil
		}}},
	}
}

// telling changes what a scan tells of its progress.
func telling(change func(tell func(done, total int64)) func(done, total int64)) breaking {
	return func(_ *world, h *hooked) {
		h.scan = func(ctx context.Context, o *backend.ScanOptions, next scanFunc) (*backend.ScanReport, error) {
			if o != nil && o.Progress != nil {
				changed := *o
				changed.Progress = change(o.Progress)
				o = &changed
			}
			return next(ctx, o)
		}
	}
}

// counting changes what the report of a compaction that took something says.
func counting(change func(*backend.CompactionReport)) breaking {
	return func(_ *world, h *hooked) {
		h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
			report, err := next(ctx, cut)
			if err == nil && len(cut.Floors) > 0 {
				change(report)
			}
			return report, err
		}
	}
}

// afterQuarantine breaks once a quarantine was made.
func afterQuarantine(how breaking) breaking {
	return func(w *world, h *hooked) {
		if w.disk.quarantine > 0 {
			how(w, h)
		}
		h.recovered = func(error) {
			if w.disk.quarantine > 0 {
				how(w, h)
			}
		}
	}
}

// alarmist takes large records for damage.
type alarmist struct{ backend.Driver }

func (d alarmist) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		for r, err := range d.Driver.Read(ctx, backend.Query{From: 1, To: uint64(backend.Any), Kinds: backend.Numbered}) {
			if err == nil && len(r.Payload) >= 300<<10 && plan.Depth == backend.Full &&
				!yield(backend.Anomaly{Code: backend.BadHeader, Severity: backend.Warning, Offset: -1, Detail: "large"}, nil) {
				return
			}
		}
		d.Driver.Scan(ctx, plan)(yield)
	}
}

func ctxMutants() []mutant {
	return []mutant{
		broken("CTX-01", "a head is told whatever the context", func(_ *world, h *hooked) {
			h.head = func(ctx context.Context, stream string, next headFunc) (backend.Head, error) {
				return next(context.WithoutCancel(ctx), stream)
			}
		}),
		{"CTX-02", "WriteTimeout is not looked at", opened(func(o *backend.Options) { o.WriteTimeout = min(o.WriteTimeout, 0) })},
		broken("CTX-03", "who waits stays, whatever becomes of its context", func(_ *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				if ctx.Err() == nil {
					var cancel func()
					ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
					defer cancel()
				}
				return next(ctx, b)
			}
		}),
		broken("CTX-04", "a loop goes on, whatever becomes of its context", func(_ *world, h *hooked) {
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				if ctx.Err() == nil {
					ctx = context.WithoutCancel(ctx)
				}
				return next(ctx, q)
			}
		}),
		{"CTX-08", "a read that finds nothing goes on, whatever becomes of its context", variant{driver: func(_ *world, d backend.Driver) backend.Driver { return searching{d, false} }}},
		broken("CTX-05", "who is cancelled takes others along", func(w *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				r, err := next(ctx, b)
				if errors.Is(err, context.Canceled) {
					for n := 0; n < 1000 && w.appends.Load() < 4; n++ {
						runtime.Gosched()
					}
					if w.appends.Load() >= 4 {
						w.lies.Add(1)
					}
				} else if err == nil && w.lies.Load() > 0 {
					w.lies.Store(0)
					err = &backend.OpError{Op: backend.OpAppend, Backend: "variant", Err: context.Canceled}
				}
				return r, err
			}
		}),
		{"CTX-06", "the observer is told another context", opened(func(o *backend.Options) {
			if see := o.Observer; see != nil {
				o.Observer = func(_ context.Context, call backend.Call) (context.Context, func(error)) {
					return see(context.Background(), call)
				}
			}
		})},
		broken("CTX-07", "readers wait for a writer that hangs", func(w *world, h *hooked) {
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				w.disk.mu.Lock()
				free := w.disk.free
				w.disk.mu.Unlock()
				if free != nil {
					<-free
				}
				return next(ctx, q)
			}
		}),
	}
}

// searching takes its time for a read of the store that asks for dead letters alone: it goes
// through all records, and looks at its context, or not.
type searching struct {
	backend.Driver
	looks bool
}

func (d searching) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	if q.Stream != "" || q.Kinds != backend.KindSet(backend.DeadLetter) {
		return d.Driver.Read(ctx, q)
	}
	return func(yield func(backend.Record, error) bool) {
		every := q
		every.Kinds, every.Limit = backend.AllKinds, 0
		found := 0
		for r, err := range d.Driver.Read(context.WithoutCancel(ctx), every) {
			if d.looks && ctx.Err() != nil {
				yield(backend.Record{}, context.Cause(ctx))
				return
			}
			for start := time.Now(); time.Since(start) < 10*time.Microsecond; {
			}
			if err == nil && !q.Kinds.Has(r.Kind) {
				continue
			}
			if found++; !yield(r, err) || found == q.Limit {
				return
			}
		}
	}
}

func leakMutants() []mutant {
	return []mutant{
		broken("LEAK-01", "each opening leaves a goroutine", func(w *world, h *hooked) { go func() { <-w.gone }() }),
		broken("LEAK-02", "each opening leaves a file open", func(w *world, h *hooked) {
			if f, err := os.Open(os.DevNull); err == nil {
				w.files = append(w.files, f)
			}
		}),
		broken("LEAK-05", "a loop that is broken off leaves a goroutine", func(w *world, h *hooked) {
			closed := make(chan struct{})
			h.closeHook = func(next func() error) error {
				if h.closeTimes.Load() == 1 {
					close(closed)
				}
				return next()
			}
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				return func(yield func(backend.Record, error) bool) {
					for r, err := range next(ctx, q) {
						if !yield(r, err) {
							go func() { <-closed }()
							return
						}
					}
				}
			}
		}),
	}
}
