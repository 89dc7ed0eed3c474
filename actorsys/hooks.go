package actorsys

import "context"

// Hooks are called around what a system does: for traces, log fields, figures. Each may
// be nil. A hook gets the context of what it is around and returns the one to go on
// with, which the turn, the backend and the messages that follow get the values of; and
// a function that is called with the result, or nil. nil as context means the same.
//
// They are called where the work is done, in different goroutines at a time, and
// should be quick; no lock is held. A panic in one is logged and has no other effect.
type Hooks struct {
	// Spawn is around a plain actor's start function, each time that it is called.
	Spawn func(ctx context.Context, actor string) (context.Context, func(error))
	// Stop is around the end of a plain actor's state, for a restart too.
	Stop func(ctx context.Context, actor string, reason error) (context.Context, func(error))
	// Receive is around a message's turn on its actor, up to the end of Decide, Evolve
	// and Reply. Its result is the one that the asker gets if the turn is stored.
	Receive func(ctx context.Context, actor string, message any) (context.Context, func(error))
	// Supervise is around what a plain actor's supervision has decided about a failure.
	Supervise func(ctx context.Context, actor string, failure error, decided Directive) (context.Context, func(error))
	// Persist is around the time from a turn's end until its records are durable, or
	// are known not to be. It holds up its own actor's answers only.
	Persist func(ctx context.Context, actor string, records int) (context.Context, func(error))
	// Recover is around a durable actor's replay. The context is that of the message
	// that waited longest.
	Recover func(ctx context.Context, actor string) (context.Context, func(error))
	// DeadLetter is around the recording of a dead letter.
	DeadLetter func(ctx context.Context, letter DeadLetter) (context.Context, func(error))
}

// hook calls a hook, whose name is for the log. The function that it returns is not nil.
func (s *System) hook(ctx context.Context, name string, call func(context.Context) (context.Context, func(error))) (context.Context, func(error)) {
	if ctx == nil {
		ctx = s.ctx
	}
	next := ctx
	var done func(error)
	s.unharmed(name, func() { next, done = call(ctx) })
	if next == nil {
		next = ctx
	}
	return next, func(err error) {
		if done != nil {
			s.unharmed(name, func() { done(err) })
		}
	}
}

func (s *System) unharmed(name string, f func()) {
	err := guard(func() error {
		f()
		return nil
	})
	if err != nil {
		s.cfg.Logger.Error("a hook panicked", "hook", name, "error", err)
	}
}

func ignore(error) {}

func (s *System) onSpawn(ctx context.Context, actor string) (context.Context, func(error)) {
	h := s.cfg.Hooks.Spawn
	if h == nil {
		return ctx, ignore
	}
	return s.hook(ctx, "Spawn", func(ctx context.Context) (context.Context, func(error)) { return h(ctx, actor) })
}

func (s *System) onStop(actor string, reason error) (context.Context, func(error)) {
	h := s.cfg.Hooks.Stop
	if h == nil {
		return nil, ignore
	}
	return s.hook(nil, "Stop", func(ctx context.Context) (context.Context, func(error)) { return h(ctx, actor, reason) })
}

func (s *System) onReceive(ctx context.Context, actor string, message any) (context.Context, func(error)) {
	h := s.cfg.Hooks.Receive
	if h == nil {
		return ctx, ignore
	}
	return s.hook(ctx, "Receive", func(ctx context.Context) (context.Context, func(error)) { return h(ctx, actor, message) })
}

func (s *System) onSupervise(actor string, failure error, decided Directive) func(error) {
	h := s.cfg.Hooks.Supervise
	if h == nil {
		return ignore
	}
	_, done := s.hook(nil, "Supervise", func(ctx context.Context) (context.Context, func(error)) { return h(ctx, actor, failure, decided) })
	return done
}

// onPersist keeps what to call in the turn, until that leaves.
func (s *System) onPersist(t *Turn) {
	h := s.cfg.Hooks.Persist
	if h == nil || len(t.records) == 0 {
		return
	}
	t.ctx, t.persisted = s.hook(t.ctx, "Persist", func(ctx context.Context) (context.Context, func(error)) { return h(ctx, t.address, len(t.records)) })
}

func (s *System) onRecover(ctx context.Context, actor string) (context.Context, func(error)) {
	h := s.cfg.Hooks.Recover
	if h == nil {
		return s.ctx, ignore
	}
	return s.hook(s.carry(ctx), "Recover", func(ctx context.Context) (context.Context, func(error)) { return h(ctx, actor) })
}

func (s *System) onDeadLetter(ctx context.Context, l DeadLetter) func(error) {
	h := s.cfg.Hooks.DeadLetter
	if h == nil {
		return ignore
	}
	_, done := s.hook(ctx, "DeadLetter", func(ctx context.Context) (context.Context, func(error)) { return h(ctx, l) })
	return done
}
