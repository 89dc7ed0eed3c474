package actorsys

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// The keys in the Meta of a turn's last record under which its command is remembered.
// Those that begin so are not for the turn's own.
const (
	reservedPrefix = "$"
	commandKey     = "$command" // its id
	failureKey     = "$failure" // the text of what Turn.Fail answered
)

// maxCommandID is the most bytes that a command's id may have.
const maxCommandID = 256

// identified is a command that can be told from others: see Options.Dedup.
type identified interface{ CommandID() string }

// recent is what an actor knows of the commands whose events are among its last ones.
type recent struct {
	window backend.Version
	known  map[string]carriedOut
	order  []placed // by version
}

// carriedOut is a command that was.
type carriedOut struct {
	version backend.Version // of the actor after it
	failure error           // what it was answered; nil: its reply
}

type placed struct {
	version backend.Version
	id      string
}

// window is how many of the last events an actor remembers commands by.
func (k *Kind[S]) window() backend.Version { return backend.Version(k.opts.Dedup) }

// newRecent returns nil if commands are not remembered.
func (k *Kind[S]) newRecent() *recent {
	if k.opts.Dedup == 0 {
		return nil
	}
	return &recent{window: k.window(), known: map[string]carriedOut{}}
}

// add remembers a command, and forgets those that have left the window.
func (m *recent) add(id string, c carriedOut) {
	m.known[id] = c
	m.order = append(m.order, placed{c.version, id})
	m.forget(c.version)
}

// forget forgets what is too old for an actor of this version.
func (m *recent) forget(now backend.Version) {
	n := 0
	for ; n < len(m.order) && m.order[n].version+m.window <= now; n++ {
		if old := m.order[n]; m.known[old.id].version == old.version {
			delete(m.known, old.id)
		}
	}
	m.order = m.order[n:]
}

// read remembers the command that a stored record ends, if it is one.
func (m *recent) read(r *backend.Record) {
	if m == nil {
		return
	}
	if id, ok := r.Meta.Get(commandKey); ok {
		c := carriedOut{version: r.Version}
		if text, failed := r.Meta.Get(failureKey); failed {
			c.failure = errors.New(text)
		}
		m.add(id, c)
	}
}

// commandID returns the id of a command; none if it has none, or none are remembered.
func (a *actor[S]) commandID(l *letter[S]) (id string, err error) {
	c := l.cmd
	if a.plain != nil || a.recent == nil || l.rings {
		return "", nil
	}
	if named, ok := c.(identified); ok {
		id = named.CommandID()
	}
	if len(id) > maxCommandID {
		return "", fmt.Errorf("%w: the id of %T has %d bytes: at most %d", backend.ErrInvalid, c, len(id), maxCommandID)
	}
	return id, nil
}

// repeated reports whether the command was carried out before, and sees to its answer:
// the first one's. The turn stands behind it at the gate.
func (a *actor[S]) repeated(t *Turn, l *letter[S]) bool {
	id := t.command
	if a.recent == nil || id == "" {
		return false
	}
	a.recent.forget(t.version)
	c, known := a.recent.known[id]
	switch {
	case !known:
		return false
	case c.failure != nil:
		t.err = &DuplicateError{id, c.version, c.failure}
	case l.ask == nil:
	case c.version == t.version:
		l.ask.keep(a.state)
	default:
		t.recall = func() { l.ask.answer(a.recall(l, id, c.version)) }
	}
	return true
}

// recall makes the reply to a command that was carried out a while ago, from the state as
// it was then.
func (a *actor[S]) recall(l *letter[S], id string, version backend.Version) error {
	permit := a.sys.permits.join()
	defer a.sys.permits.leave(permit)
	select {
	case <-permit.granted:
	case <-l.ctx.Done():
		return unknownOutcome(a.address, context.Cause(l.ctx))
	case <-a.sys.killed:
		return unknownOutcome(a.address, ErrStopped)
	}
	r := replayed[S]{}
	err := guard(func() error {
		head, err := a.sys.cfg.Backend.Head(l.ctx, a.address)
		if err == nil {
			err = a.kind.build(l.ctx, a.address, head, version, &r)
		}
		if err == nil {
			l.ask.keep(r.state)
		}
		return err
	})
	if err != nil {
		return &DuplicateError{id, version, fmt.Errorf("its reply can't be made again: %w", err)}
	}
	return nil
}

// remember notes a turn that is sealed. The lock is held.
func (a *actor[S]) remember(t *Turn) {
	if a.recent != nil && t.command != "" && len(t.records) > 0 {
		a.recent.add(t.command, carriedOut{t.version + backend.Version(len(t.records)), t.failure})
	}
}

// signature returns the meta of the turn's last record, which names its command.
func (t *Turn) signature() (backend.Meta, error) {
	pairs := append(t.meta[:len(t.meta):len(t.meta)], commandKey, t.command)
	if t.failure != nil {
		pairs = append(pairs, failureKey, strings.ToValidUTF8(clip(t.failure), ""))
	}
	return backend.MakeMeta(pairs...)
}

// ownMeta reports a key of Turn.Meta that is not for turns.
func (t *Turn) ownMeta() error {
	for i := 0; i < len(t.meta); i += 2 {
		if strings.HasPrefix(t.meta[i], reservedPrefix) {
			return fmt.Errorf("%w: meta key %.80q: those that begin with %q are the system's", backend.ErrInvalid, t.meta[i], reservedPrefix)
		}
	}
	return nil
}
