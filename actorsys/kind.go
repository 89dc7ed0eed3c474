package actorsys

import (
	"fmt"
	"hash/maphash"
	"reflect"
	"strings"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// Kind is a registered kind of actors: all whose state is S and whose streams begin
// with its name. It is safe for concurrent use.
type Kind[S any] struct {
	sys    *System
	name   string
	book   *book[S]
	opts   Options[S]
	unfit  error     // why states can't be saved; nil: they can
	warned sync.Once // of unfit
	bells  *bells    // for alarms; nil: there are none
	seed   maphash.Seed
	shards [16]shard[S]
}

// shard is a part of a kind's actors in memory, by id.
type shard[S any] struct {
	mu     sync.Mutex
	actors map[string]*actor[S]
}

// Register adds a kind of actors to a system. name begins their streams' names,
// before a slash and the id: it is stored and must not change, nor hold a slash.
// opts nil means the defaults. [backend.ErrInvalid] if something is wrong or the
// name is taken; [ErrStopped]. What the default codec would store with loss is wrong:
// see [On].
func Register[S any](sys *System, name string, events Events[S], opts *Options[S]) (*Kind[S], error) {
	if sys == nil {
		return nil, fmt.Errorf("%w: sys is nil: check Start's error", backend.ErrInvalid)
	}
	var o Options[S]
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if name == "" || strings.Contains(name, "/") || strings.HasPrefix(name, reservedPrefix) || backend.CheckStream(name+"/x") != nil {
		return nil, fmt.Errorf("%w: kind %.80q: want a name without slash, and without $ in front, that can begin a stream's", backend.ErrInvalid, name)
	}
	o = o.withDefaults()
	book, err := newBook(o.Codec, events)
	if err != nil {
		return nil, fmt.Errorf("kind %q: %w", name, err)
	}
	unfit := o.Codec.unfit(reflect.TypeFor[S](), true)
	if unfit != nil && (o.SnapshotEvery > 0 || o.SnapshotWhen != nil || o.Truncate) {
		return nil, fmt.Errorf("kind %q: %w: Options.SnapshotEvery: %w", name, backend.ErrInvalid, unfit)
	}
	if o.Truncate && !sys.cfg.Backend.Capabilities().Compact {
		return nil, fmt.Errorf("kind %q: %w: Options.Truncate: the backend %q does not compact", name, backend.ErrUnsupported, sys.cfg.Backend.Name())
	}
	k := &Kind[S]{sys: sys, name: name, book: book, opts: o, unfit: unfit, seed: maphash.MakeSeed()}
	for i := range k.shards {
		k.shards[i].actors = map[string]*actor[S]{}
	}
	var also []func()
	if o.Alarm != nil {
		k.bells = newBells(sys, name, k.ring)
		also = append(also, k.bells.recall, k.bells.run)
	}
	if err := sys.add(name, k, k.sweepEvery(), k.sweep, also...); err != nil {
		return nil, err
	}
	return k, nil
}

// Ref returns the handle of the actor with this id. It costs nothing and does no
// I/O: the actor is activated by its first message.
func (k *Kind[S]) Ref(id string) Ref[S] {
	if k == nil {
		return Ref[S]{}
	}
	return Ref[S]{k, id}
}

func (k *Kind[S]) shard(id string) *shard[S] {
	return &k.shards[maphash.String(k.seed, id)%uint64(len(k.shards))]
}

// actor returns the actor with this id, putting it in memory if need be.
func (k *Kind[S]) actor(id string) (*actor[S], error) {
	sh := k.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if a := sh.actors[id]; a != nil {
		return a, nil
	}
	stream := k.name + "/" + id
	if err := backend.CheckStream(stream); err != nil {
		return nil, err
	}
	if id == "" {
		return nil, fmt.Errorf("%w: an actor of kind %q needs an id", backend.ErrInvalid, k.name)
	}
	a := &actor[S]{sys: k.sys, kind: k, address: stream}
	sh.actors[a.id()] = a
	k.sys.registered.Add(1)
	return a, nil
}

// deliver puts a letter into the mailbox of the actor with this id.
func (k *Kind[S]) deliver(id string, l *letter[S]) error {
	for {
		a, err := k.actor(id)
		if err == nil {
			l.to = a
			err = a.post(l)
		}
		if err != errGone { // passivated just now
			return err
		}
	}
}

func (k *Kind[S]) system() *System            { return k.sys }
func (k *Kind[S]) addressOf(id string) string { return k.name + "/" + id }
func (k *Kind[S]) cell() (cell, error) {
	return nil, fmt.Errorf("%w: an actor of kind %q is durable: it does not stop, it leaves memory when it is idle", backend.ErrInvalid, k.name)
}
