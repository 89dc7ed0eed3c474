package actorsys

import "context"

// maxHops is over how many messages in a row the values of a context travel. Actors
// that tell each other for ever would make it longer for ever.
const maxHops = 100

// carried is the context of a message that nobody waits for: it has the values of its
// sender's, and ends when the system is gone.
type carried struct {
	context.Context // the system's
	values          context.Context
	hops            int
}

type hopsKey struct{}

// Value prefers the sender's values. What the system's has is how it is cancelled, which
// spares those who derive a context from this one a goroutine.
func (c *carried) Value(key any) any {
	if key == (hopsKey{}) {
		return c.hops
	}
	if v := c.values.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// carry returns the context that goes with a message of a turn, or sender, whose
// context is ctx; nil if it has nothing to carry.
func (s *System) carry(ctx context.Context) context.Context {
	if ctx == nil || ctx == s.ctx || ctx == context.Background() {
		return nil
	}
	if c, ok := ctx.(*carried); ok && c.Context == s.ctx {
		return c
	}
	hops, _ := ctx.Value(hopsKey{}).(int)
	if hops >= maxHops {
		return nil
	}
	return &carried{s.ctx, context.WithoutCancel(ctx), hops + 1}
}
