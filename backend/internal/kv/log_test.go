package kv

import (
	"context"
	"fmt"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
)

// place is a medium and a directory for its quarantine.
type testPlace struct {
	m    *medium
	dir  string
	wrap func(Engine) Engine // nil: as it is
}

// open opens the store in the medium, and makes one if it is empty.
func (p *testPlace) open(ctx context.Context, o *backend.Options) (*backend.Backend, error) {
	readOnly := o != nil && o.ReadOnly
	return backend.New(ctx, func(context.Context) (backend.Driver, error) {
		l, err := p.log(readOnly)
		if err != nil {
			return nil, err
		}
		return backend.Sequenced(l), nil
	}, o)
}

func (p *testPlace) log(readOnly bool) (*Log, error) {
	p.m.mu.Lock()
	if p.m.writer && !readOnly {
		p.m.mu.Unlock()
		return nil, fmt.Errorf("%w: the map is open already", backend.ErrLocked)
	}
	empty := len(p.m.keys) == 0
	p.m.writer = p.m.writer || !readOnly
	p.m.mu.Unlock()
	var e Engine = &handle{m: p.m, readOnly: readOnly}
	if empty {
		if readOnly {
			return nil, fmt.Errorf("%w: the map is empty", backend.ErrFormat)
		}
		if err := Create(e); err != nil {
			return nil, err
		}
	}
	if p.wrap != nil {
		e = p.wrap(e)
	}
	return Open(e, Options{Dir: p.dir})
}

// The medium is a map: what engines do to bytes is theirs to show.
func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Make("map", func(_ context.Context, env *conformance.Env) (conformance.OpenFunc, error) {
		return (&testPlace{m: newMedium(), dir: env.Dir}).open, nil
	}), conformance.Strict(), conformance.Without(conformance.Seams()...))
}
