package actorsys

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Bounds of the lane of facts, in bytes.
const (
	factsBytes  = 1 << 20
	reasonBytes = 512 // of an error's text in a fact
)

// The types of lifecycle facts, as stored.
const (
	systemStarted   = "system-started"
	systemStopped   = "system-stopped"
	actorStarted    = "actor-started"
	actorRestarted  = "actor-restarted"
	actorStopped    = "actor-stopped"
	actorActivated  = "actor-activated"
	actorPassivated = "actor-passivated"
	actorFailed     = "actor-failed"
)

// factSchema is the number of the layout of every fact's payload.
const factSchema = 1

// Fact is something that happened to an actor, or to the system: what its stream
// $sys/<name>/lifecycle records (see [FactLevel]) as JSON, under its type.
type Fact struct {
	// Seq numbers the facts of a running system, from 1.
	Seq  uint64    `json:"-"`
	Time time.Time `json:"-"`
	// Type is system-started, system-stopped; of a plain actor, actor-started,
	// actor-restarted, actor-stopped; of a durable one, actor-activated,
	// actor-passivated; of either, actor-failed.
	Type    string          `json:"-"`
	Actor   string          `json:"actor,omitempty"`   // its address
	Version backend.Version `json:"version,omitempty"` // of the state that was activated
	Events  int             `json:"events,omitempty"`  // replayed
	Reason  string          `json:"reason,omitempty"`  // why it failed, or was restarted or stopped
}

// note makes a fact known, and has it stored if the level asks for it.
func (s *System) note(level FactLevel, f Fact) {
	f.Time = s.now()
	if s.cfg.Facts == FactsNone || level == FactsAll && s.cfg.Facts != FactsAll {
		s.news.add(f, nil)
		return
	}
	r := s.record(backend.Lifecycle, f.Type, f.Time, f)
	s.news.add(f, func() { s.facts.put(r, r.Size()) })
}

// store puts a record on the facts' lane.
func (s *System) store(kind backend.Kind, name string, at time.Time, v any) {
	r := s.record(kind, name, at, v)
	s.facts.put(r, r.Size())
}

func (s *System) record(kind backend.Kind, name string, at time.Time, v any) backend.Record {
	payload, err := json.Marshal(v)
	if err != nil { // what is given here does not fail
		panic(err)
	}
	return backend.Record{Stream: backend.SystemStream(s.cfg.Name, kind), Kind: kind, Type: name, Schema: factSchema, Time: at, Payload: payload}
}

// clip is the text of an error, as long as a fact may hold it.
func clip(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	return text[:min(len(text), reasonBytes)]
}

// actorFailed notes that an actor lost its state, or did not get one.
func (s *System) actorFailed(address string, err error) {
	if p := (*PanicError)(nil); errors.As(err, &p) {
		s.cfg.Logger.Error("an actor panicked", "actor", address, "error", err, "stack", string(p.Stack))
	}
	s.note(FactsFailures, Fact{Type: actorFailed, Actor: address, Reason: clip(err)})
}

// actorStarted notes that a plain actor runs: again, if there is a reason.
func (s *System) actorStarted(address string, again error) {
	if again == nil {
		s.note(FactsAll, Fact{Type: actorStarted, Actor: address})
		return
	}
	s.note(FactsFailures, Fact{Type: actorRestarted, Actor: address, Reason: clip(again)})
}

// actorStopped notes that a plain actor has ended.
func (s *System) actorStopped(address string, reason error) {
	level := FactsAll
	if reason != nil {
		level = FactsFailures
	}
	s.note(level, Fact{Type: actorStopped, Actor: address, Reason: clip(reason)})
}

// storeFacts is the lane's: it appends facts, those of each stream in order. Those that
// can't be stored are counted.
func (s *System) storeFacts(records []backend.Record) {
	var batches []backend.Batch
	for _, r := range records {
		stream := r.Stream
		r.Stream = ""
		i := 0
		for i < len(batches) && batches[i].Stream != stream {
			i++
		}
		if i == len(batches) {
			batches = append(batches, backend.Batch{Stream: stream, Expected: backend.Any})
		}
		batches[i].Records = append(batches[i].Records, r)
	}
	results, _ := s.cfg.Backend.AppendAll(s.ctx, batches) // an error stands in the results too
	for i := range results {
		if err := results[i].Err; err != nil {
			s.facts.dropped.Add(uint64(len(batches[i].Records)))
			s.cfg.Logger.Debug("facts could not be stored", "stream", batches[i].Stream, "count", len(batches[i].Records), "error", err)
		}
	}
}
