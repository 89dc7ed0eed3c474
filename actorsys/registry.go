package actorsys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// registry knows by name what a system has: kinds, and plain actors by their address.
type registry struct {
	mu    sync.RWMutex
	named map[string]resident
}

// resident is a kind or a plain actor. abandon turns away what waits in the mailboxes;
// each calls yield for every actor in memory, until that returns false.
type resident interface {
	abandon()
	each(yield func(ActorInfo) bool) bool
}

var errTaken = errors.New("is taken")

func (r *registry) add(name string, x resident) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.named[name] != nil {
		return fmt.Errorf("%w: the name %q %w", backend.ErrInvalid, name, errTaken)
	}
	r.named[name] = x
	return nil
}

func (r *registry) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.named, name)
}

func (r *registry) get(name string) resident {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.named[name]
}

// all returns what there is, by name.
func (r *registry) all() []resident {
	r.mu.RLock()
	defer r.mu.RUnlock()
	names := make([]string, 0, len(r.named))
	for name := range r.named {
		names = append(names, name)
	}
	slices.Sort(names)
	residents := make([]resident, len(names))
	for i, name := range names {
		residents[i] = r.named[name]
	}
	return residents
}

// Lookup returns the ref of the actor with this address: of a plain actor that is
// running, or of any actor of a registered kind, which need not be in memory.
// [backend.ErrNotFound]; [backend.ErrInvalid] if its state is not an S.
func Lookup[S any](sys *System, address string) (Ref[S], error) {
	var none Ref[S]
	if sys == nil {
		return none, fmt.Errorf("%w: sys is nil: check Start's error", backend.ErrInvalid)
	}
	if x, plain := sys.names.get(address).(cell); plain {
		a, ok := x.(*actor[S])
		if !ok {
			return none, fmt.Errorf("%w: the state of %q is not a %T", backend.ErrInvalid, address, *new(S))
		}
		return Ref[S]{a, a.id()}, nil
	}
	kind, id, durable := strings.Cut(address, "/")
	switch k := sys.names.get(kind).(type) {
	case *Kind[S]:
		if durable && id != "" {
			return k.Ref(id), nil
		}
	case nil, cell:
	default:
		return none, fmt.Errorf("%w: the state of kind %q is not a %T", backend.ErrInvalid, kind, *new(S))
	}
	return none, fmt.Errorf("%w: no actor %q", backend.ErrNotFound, address)
}
