package selftest

import (
	"context"
	"slices"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// eachPolicy changes the policies that are planned by.
func eachPolicy(change func(backend.Kind, *backend.Policy)) breaking {
	return func(_ *world, h *hooked) {
		h.plan = func(ctx context.Context, r backend.Retention, next planFunc) (backend.Cut, error) {
			var changed backend.Retention
			for k, p := range r {
				if changed == nil {
					changed = backend.Retention{}
				}
				change(k, &p)
				changed[k] = p
			}
			if r != nil && changed == nil {
				changed = backend.Retention{}
			}
			return next(ctx, changed)
		}
	}
}

// eachPlan changes the floors of a plan.
func eachPlan(change func(ctx context.Context, h *hooked, r backend.Retention, floors []backend.StreamFloor) []backend.StreamFloor) breaking {
	return func(_ *world, h *hooked) {
		h.plan = func(ctx context.Context, r backend.Retention, next planFunc) (backend.Cut, error) {
			cut, err := next(ctx, r)
			if err == nil {
				cut.Floors = change(ctx, h, r, cut.Floors)
			}
			return cut, err
		}
	}
}

func retentionMutants() []mutant {
	return []mutant{
		broken("RET-01", "MaxRecords keeps one more", eachPolicy(func(_ backend.Kind, p *backend.Policy) {
			if p.MaxRecords > 0 && p.MaxAge == 0 && p.MaxBytes == 0 {
				p.MaxRecords++
			}
		})),
		broken("RET-01", "a policy of one kind is every kind's", func(_ *world, h *hooked) {
			h.plan = func(ctx context.Context, r backend.Retention, next planFunc) (backend.Cut, error) {
				p, set := r[backend.Audit]
				if _, other := r[backend.DeadLetter]; set && len(r) == 1 && !other {
					r = backend.Retention{backend.Audit: p, backend.DeadLetter: p}
				}
				return next(ctx, r)
			}
		}),
		broken("RET-02", "what is exactly MaxAge old goes", eachPolicy(func(_ backend.Kind, p *backend.Policy) {
			if p.MaxAge > 1 && p.MaxRecords == 0 && p.MaxBytes == 0 {
				p.MaxAge--
			}
		})),
		broken("RET-02", "all before the last old record goes", eachPlan(func(ctx context.Context, h *hooked, r backend.Retention, floors []backend.StreamFloor) []backend.StreamFloor {
			p := r[backend.Audit]
			if p.MaxAge == 0 || p.MaxRecords > 0 || p.MaxBytes > 0 {
				return floors
			}
			for i, f := range floors {
				for rec := range h.Subject.Read(ctx, backend.Query{Stream: f.Stream}) {
					if h.w.opts.Clock().Sub(rec.Time) > p.MaxAge {
						floors[i].Floor = rec.Version + 1
					}
				}
			}
			return floors
		})),
		broken("RET-03", "what fits exactly goes", eachPolicy(func(k backend.Kind, p *backend.Policy) {
			if p.MaxBytes > 1 && p.MaxAge == 0 && p.MaxRecords == 0 && k == backend.Audit {
				p.MaxBytes--
			}
		})),
		broken("RET-03", "the newest record stays, however large", eachPlan(func(_ context.Context, h *hooked, r backend.Retention, floors []backend.StreamFloor) []backend.StreamFloor {
			for i, f := range floors {
				if p := r[backend.KindOf(f.Stream)]; p.MaxBytes == 0 || p.MaxAge > 0 || backend.KindOf(f.Stream) == backend.Event {
					continue
				}
				floors[i].Floor = min(f.Floor, h.version(f.Stream))
			}
			return slices.DeleteFunc(floors, func(f backend.StreamFloor) bool { return f.Floor == 1 })
		})),
		broken("RET-04", "a policy without bounds keeps nothing", eachPolicy(func(_ backend.Kind, p *backend.Policy) {
			if *p == (backend.Policy{}) {
				p.MaxBytes = 1
			}
		})),
		broken("RET-04", "a negative bound is none", eachPolicy(func(_ backend.Kind, p *backend.Policy) {
			p.MaxBytes = max(p.MaxBytes, 0)
		})),
		{"RET-04", "the options are not looked at", opened(func(o *backend.Options) {
			for k, p := range o.Retention {
				if p.MaxAge < 0 {
					o.Retention = backend.Retention{k: {}}
				}
			}
		})},
		broken("RET-05", "with a bound of age there is no other", eachPolicy(func(_ backend.Kind, p *backend.Policy) {
			if p.MaxAge > 0 && p.MaxRecords > 0 {
				*p = backend.Policy{MaxAge: p.MaxAge}
			}
		})),
		broken("RET-05", "with a number of records there is no bound of bytes", eachPolicy(func(_ backend.Kind, p *backend.Policy) {
			if p.MaxRecords > 1 && p.MaxBytes > 0 {
				p.MaxBytes = 0
			}
		})),
		broken("RET-06", "events without a snapshot go", eachPlan(func(ctx context.Context, h *hooked, r backend.Retention, floors []backend.StreamFloor) []backend.StreamFloor {
			n := backend.Version(r[backend.Event].MaxRecords)
			for info := range h.Subject.Streams(ctx, backend.StreamQuery{}) {
				_, err := h.Subject.Snapshot(ctx, info.Name, 0)
				if backend.KindOf(info.Name) == backend.Event && n > 0 && info.Head.Version > n && err != nil {
					floors = append(floors, backend.StreamFloor{Stream: info.Name, Floor: info.Head.Version - n + 1})
				}
			}
			return floors
		})),
		broken("RET-06", "a plan passes the newest snapshot", eachPlan(func(_ context.Context, h *hooked, r backend.Retention, floors []backend.StreamFloor) []backend.StreamFloor {
			n := backend.Version(r[backend.Event].MaxRecords)
			for i, f := range floors {
				if v := h.version(f.Stream); backend.KindOf(f.Stream) == backend.Event && n > 0 {
					floors[i].Floor = v - n + 1
				}
			}
			return floors
		})),
		broken("RET-07", "a plan passes holds", func(w *world, h *hooked) {
			h.hold = func(name string, p backend.Position, next holdFunc) (func(), error) {
				_, err := next(name, p)
				if err != nil {
					return nil, err
				}
				w.holds[name] = p
				return func() {
					if release, err := next(name, p); err == nil {
						release()
					}
					delete(w.holds, name)
				}, nil
			}
			h.plan = func(ctx context.Context, r backend.Retention, next planFunc) (backend.Cut, error) {
				for name := range w.holds {
					if release, err := h.Subject.Hold(name, 0); err == nil {
						release()
					}
				}
				defer func() {
					for name, p := range w.holds {
						h.Subject.Hold(name, p)
					}
				}()
				return next(ctx, r)
			}
		}),
		broken("RET-08", "streams that were cut before are in each plan", eachPlan(func(ctx context.Context, h *hooked, r backend.Retention, floors []backend.StreamFloor) []backend.StreamFloor {
			for info := range h.Subject.Streams(ctx, backend.StreamQuery{Prefix: backend.SystemPrefix}) {
				planned := slices.ContainsFunc(floors, func(f backend.StreamFloor) bool { return f.Stream == info.Name })
				if p := r[backend.Audit]; info.Head.Floor > 1 && !planned && p.MaxAge > 0 && p.MaxRecords == 0 {
					floors = append(floors, backend.StreamFloor{Stream: info.Name, Floor: 1})
				}
			}
			return floors
		})),
		broken("RET-09", "a plan is in no order", eachPlan(func(_ context.Context, _ *hooked, _ backend.Retention, floors []backend.StreamFloor) []backend.StreamFloor {
			slices.Reverse(floors)
			return floors
		})),
		broken("RET-09", "ages are by a clock of the plan's own", func(_ *world, h *hooked) {
			h.plan = func(ctx context.Context, r backend.Retention, next planFunc) (backend.Cut, error) {
				if p := r[backend.Event]; p.MaxAge > time.Minute {
					r = backend.Retention{backend.Audit: r[backend.Audit], backend.DeadLetter: r[backend.DeadLetter], backend.Event: {MaxAge: 1}}
				}
				return next(ctx, r)
			}
		}),
		broken("RET-10", "without a policy nothing is planned", func(_ *world, h *hooked) {
			h.plan = func(ctx context.Context, r backend.Retention, next planFunc) (backend.Cut, error) {
				if r == nil {
					if err := ctx.Err(); err != nil || h.closeTimes.Load() > 0 {
						return next(ctx, r)
					}
					r = backend.Retention{}
				}
				return next(ctx, r)
			}
		}),
		broken("RET-10", "a plan by the options is carried out", func(_ *world, h *hooked) {
			h.plan = func(ctx context.Context, r backend.Retention, next planFunc) (backend.Cut, error) {
				cut, err := next(ctx, r)
				if r == nil && len(cut.Floors) > 0 {
					h.Subject.Compact(ctx, cut)
				}
				return cut, err
			}
		}),
	}
}
