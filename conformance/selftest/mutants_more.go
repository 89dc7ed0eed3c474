package selftest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/papyra-go/papyra/backend"
)

func lockMutants() []mutant {
	// opens changes what an opener meets; the first is never changed.
	opens := func(second func(w *world) error, how breaking) variant {
		return variant{subject: how, opening: func(w *world, ctx context.Context, o *backend.Options) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.held && ctx.Err() == nil && o.WriteTimeout >= 0 {
				return second(w)
			}
			return nil
		}}
	}
	return []mutant{
		{"LOCK-01", "there is no lock", opens(func(w *world) error { w.held = false; return nil }, nil)},
		{"LOCK-01", "a second opener is told that the place can't be had", opens(func(*world) error { return fmt.Errorf("%w: in use", backend.ErrUnavailable) }, nil)},
		{"LOCK-01", "a refused opener poisons the first", opens(func(w *world) error { w.lies.Add(1); return nil }, func(w *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				if w.lies.Load() > 1 { // ERROR-01 tries it once
					return backend.Result{}, &backend.OpError{Op: backend.OpAppend, Backend: w.opts.Name, Err: backend.ErrPoisoned}
				}
				return next(ctx, b)
			}
		})},
		{"LOCK-02", "a refused opener keeps the lock", opens(func(w *world) error { w.touched = true; return nil }, func(w *world, h *hooked) {
			h.closeHook = func(next func() error) error {
				err := next()
				w.mu.Lock()
				defer w.mu.Unlock()
				w.held = w.held || w.touched && w.opts.Name == ""
				return err
			}
		})},
		broken("LOCK-02", "the second Close frees another's lock", func(w *world, h *hooked) {
			h.closeHook = func(next func() error) error {
				if h.closeTimes.Load() > 1 {
					w.mu.Lock()
					w.held = false
					w.mu.Unlock()
				}
				return next()
			}
		}),
	}
}

// claiming claims what it says. Of what it claims it does what broken says, or what the
// engine does.
type claiming struct {
	backend.Driver
	repair, quarantine, compact bool
	broken                      error
}

func (d claiming) Info() backend.Info {
	info := d.Driver.Info()
	c := &info.Capabilities
	c.Repair, c.Quarantine, c.Compact = d.repair, d.quarantine, d.compact
	return info
}

func (d claiming) Recover(ctx context.Context, plan backend.RecoveryPlan) (backend.RecoveryStats, error) {
	if d.broken != nil {
		return backend.RecoveryStats{}, d.broken
	}
	return d.Driver.Recover(ctx, plan)
}

func (d claiming) Compact(ctx context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	if d.broken != nil {
		return backend.CompactionStats{}, d.broken
	}
	return d.Driver.Compact(ctx, cut)
}

func claimMutants() []mutant {
	claims := func(d claiming, how breaking) variant {
		return variant{subject: how, driver: func(_ *world, inner backend.Driver) backend.Driver { d.Driver = inner; return d }}
	}
	undone := fmt.Errorf("%w: not written yet", backend.ErrUnsupported)
	// recovered changes what Recover answers, in one mode.
	recovered := func(mode backend.RecoveryMode, change func(w *world, h *hooked, report *backend.RecoveryReport, err error) error) breaking {
		return func(w *world, h *hooked) {
			h.recovery = func(ctx context.Context, o backend.RecoveryOptions, next recoverFunc) (*backend.RecoveryReport, error) {
				report, err := next(ctx, o)
				if o.Mode == mode {
					err = change(w, h, report, err)
				}
				return report, err
			}
		}
	}
	loseLast := func(w *world, h *hooked, _ *backend.RecoveryReport, err error) error {
		last, _ := h.Subject.Last(context.Background())
		eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { return r.Position != last })(w, h)
		return err
	}
	repairs := claiming{repair: true, compact: true}
	return []mutant{
		{"CLAIM-01", "a quarantine that is not claimed does nothing", claims(repairs, func(_ *world, h *hooked) {
			h.recovery = func(ctx context.Context, o backend.RecoveryOptions, next recoverFunc) (*backend.RecoveryReport, error) {
				if o.Mode == backend.Quarantine {
					o.Mode = backend.Ignore
				}
				return next(ctx, o)
			}
		})},
		{"CLAIM-01", "a quarantine that is refused loses the last record", claims(repairs, recovered(backend.Quarantine, loseLast))},
		{"CLAIM-01", "a quarantine that is refused is not counted", claims(repairs, recovered(backend.Quarantine, func(_ *world, h *hooked, _ *backend.RecoveryReport, err error) error {
			h.counters().RecoverErrors.Add(^uint64(0))
			return err
		}))},
		{"CLAIM-01", "a compaction that is not claimed is done", claims(claiming{repair: true}, func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				report, err := next(ctx, cut)
				if errors.Is(err, backend.ErrUnsupported) {
					h.counters().CompactErrors.Add(^uint64(0))
					h.counters().CompactCount.Add(1)
					return new(backend.CompactionReport), nil
				}
				return report, err
			}
		})},
		{"CLAIM-02", "a repair is claimed and unsupported", claims(claiming{repair: true, broken: undone}, nil)},
		{"CLAIM-02", "a quarantine is claimed and unsupported", claims(claiming{quarantine: true, broken: undone}, nil)},
		{"CLAIM-02", "a compaction is claimed and unsupported", claims(claiming{compact: true, broken: undone}, nil)},
		broken("CLAIM-02", "a repair of a healthy store loses the last record", recovered(backend.Repair, loseLast)),
		broken("CLAIM-02", "a repair leaves damage", recovered(backend.Repair, func(_ *world, _ *hooked, report *backend.RecoveryReport, err error) error {
			if err == nil && report.After != nil {
				report.After.Damages++
			}
			return err
		})),
		broken("CLAIM-02", "an empty cut removes the last record", func(w *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				report, err := next(ctx, cut)
				return report, loseLast(w, h, nil, err)
			}
		}),
	}
}

func errorMutants() []mutant {
	listing := func(change func(err error) error) breaking {
		return func(_ *world, h *hooked) {
			h.streams = func(ctx context.Context, q backend.StreamQuery, next streamsFunc) iter.Seq2[backend.StreamInfo, error] {
				return func(yield func(backend.StreamInfo, error) bool) {
					for info, err := range next(ctx, q) {
						if errors.Is(err, context.Canceled) {
							err = change(err)
						}
						if !yield(info, err) {
							return
						}
					}
				}
			}
		}
	}
	return []mutant{
		broken("ERROR-01", "a driver's raw error comes out", listing(func(err error) error {
			var oe *backend.OpError
			if errors.As(err, &oe) {
				return &backend.OpError{Op: oe.Op, Backend: oe.Backend, Err: errors.New("sql: interrupted (9)")}
			}
			return err
		})),
		broken("ERROR-01", "a context's error comes out bare", listing(func(error) error { return context.Canceled })),
		broken("ERROR-01", "conflicts do not say what was done", eachResult(func(_ *hooked, _ *backend.Batch, r *backend.Result) {
			var conflict *backend.ConflictError
			if errors.As(r.Err, &conflict) {
				r.Err = conflict
			}
		})),
		broken("ERROR-01", "errors name the engine, not the backend", func(_ *world, h *hooked) {
			h.head = func(ctx context.Context, stream string, next headFunc) (backend.Head, error) {
				head, err := next(ctx, stream)
				var oe *backend.OpError
				if errors.As(err, &oe) {
					err = &backend.OpError{Op: oe.Op, Backend: h.Engine(), Stream: oe.Stream, Err: oe.Err}
				}
				return head, err
			}
		}),
	}
}
