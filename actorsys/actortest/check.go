package actortest

import (
	"context"
	"fmt"
	"reflect"

	"github.com/papyra-go/papyra/backend"
)

// check looks whether what is stored leads back to the state: by a replay from the first
// event, and from a snapshot at each version.
func (s *Scenario[S]) check(state S) {
	s.tb.Helper()
	s.roundTrip(state)
	again, err := s.ask(s.store, &probe[S]{})
	if err != nil {
		s.tb.Errorf("the events can't be replayed: %v", err)
		return
	}
	if !reflect.DeepEqual(again, state) {
		s.tb.Errorf("a replay leads to the state %+v, the command has led to %+v: an event does not come back from the codec as it was, or Evolve is not a function of its state alone", again, state)
		return
	}
	records, err := s.records()
	if err != nil {
		s.tb.Fatal(err)
	}
	for n := 1; n <= len(records); n++ {
		if err := s.fromSnapshot(records, n, state); err != nil {
			s.tb.Error(err)
			return
		}
	}
}

// roundTrip looks whether a state comes back from the codec.
func (s *Scenario[S]) roundTrip(state S) {
	s.tb.Helper()
	data, err := s.opts.Codec.Marshal(state)
	var back S
	if err == nil {
		err = s.opts.Codec.Unmarshal(data, &back)
	}
	if err != nil {
		s.tb.Errorf("the state %+v does not go through the codec: %v", state, err)
	} else if !reflect.DeepEqual(back, state) {
		s.tb.Errorf("the state %+v comes back from the codec as %+v", state, back)
	}
}

func (s *Scenario[S]) records() (all []backend.Record, err error) {
	for r, err := range s.store.Read(context.Background(), backend.Query{Stream: kind + "/" + id}) {
		if err != nil {
			return nil, err
		}
		all = append(all, r.Clone())
	}
	return all, nil
}

// fromSnapshot looks whether the state is the same that a snapshot of the first n events and
// a replay of the others lead to.
func (s *Scenario[S]) fromSnapshot(records []backend.Record, n int, state S) error {
	ctx := context.Background()
	store := s.open()
	put := func(some []backend.Record) error {
		if len(some) == 0 {
			return nil
		}
		_, err := store.Append(ctx, backend.Batch{Stream: kind + "/" + id, Expected: backend.Any, Records: some})
		return err
	}
	if err := put(records[:n]); err != nil {
		return err
	}
	then, err := s.ask(store, &probe[S]{})
	if err != nil {
		return fmt.Errorf("replaying %d events: %w", n, err)
	}
	data, err := s.opts.Codec.Marshal(then)
	if err != nil {
		return fmt.Errorf("the state after %d events does not go through the codec: %w", n, err)
	}
	saved := backend.Record{Stream: kind + "/" + id, Version: backend.Version(n), Type: "state", Schema: s.opts.SnapshotSchema, Payload: data}
	if _, err := store.SaveSnapshot(ctx, saved); err != nil {
		return err
	}
	if err := put(records[n:]); err != nil {
		return err
	}
	got, err := s.ask(store, &probe[S]{})
	if err != nil {
		return fmt.Errorf("from a snapshot of %d events: %w", n, err)
	}
	if !reflect.DeepEqual(got, state) {
		return fmt.Errorf("a snapshot of %d events leads to the state %+v, the events alone to %+v", n, got, state)
	}
	return nil
}
