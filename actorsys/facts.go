package actorsys

import (
	"encoding/json"
	"errors"

	"github.com/papyra-go/papyra/backend"
)

// Bounds of the lanes beside the domain's events, in bytes.
const (
	factsBytes     = 1 << 20
	snapshotsBytes = 16 << 20
	reasonBytes    = 512 // of an error's text in a fact
)

// The types of lifecycle facts, as stored.
const (
	systemStarted   = "system-started"
	systemStopped   = "system-stopped"
	actorActivated  = "actor-activated"
	actorPassivated = "actor-passivated"
	actorFailed     = "actor-failed"
)

// factSchema is the number of the layout of every fact's payload.
const factSchema = 1

// fact is the payload of a lifecycle record, as JSON.
type fact struct {
	Actor   string          `json:"actor,omitempty"`   // its stream
	Version backend.Version `json:"version,omitempty"` // of the state that was activated
	Events  int             `json:"events,omitempty"`  // replayed
	Reason  string          `json:"reason,omitempty"`  // of a failure
}

// note puts a fact on its lane, if the level asks for it.
func (s *System) note(level FactLevel, name string, f fact) {
	if s.cfg.Facts == FactsNone || level == FactsAll && s.cfg.Facts != FactsAll {
		return
	}
	payload, err := json.Marshal(f)
	if err != nil { // strings and numbers don't fail
		panic(err)
	}
	r := backend.Record{Kind: backend.Lifecycle, Type: name, Schema: factSchema, Time: s.now(), Payload: payload}
	s.facts.put(r, len(s.factStream)+r.Size())
}

// actorFailed notes that an actor lost its state, or did not get one.
func (s *System) actorFailed(stream string, err error) {
	if p := (*PanicError)(nil); errors.As(err, &p) {
		s.cfg.Logger.Error("an actor panicked", "actor", stream, "error", err, "stack", string(p.Stack))
	}
	reason := err.Error()
	s.note(FactsFailures, actorFailed, fact{Actor: stream, Reason: reason[:min(len(reason), reasonBytes)]})
}

// storeFacts is the lane's: it appends facts in order. Those that can't be stored are
// counted.
func (s *System) storeFacts(records []backend.Record) {
	_, err := s.cfg.Backend.Append(s.ctx, backend.Batch{Stream: s.factStream, Expected: backend.Any, Records: records})
	if err != nil {
		s.facts.dropped.Add(uint64(len(records)))
		s.cfg.Logger.Debug("facts could not be stored", "stream", s.factStream, "count", len(records), "error", err)
	}
}
