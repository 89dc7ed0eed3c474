package actorsys

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Bounds on dead letters.
const (
	deadLettersKept    = 256  // in memory, to be looked at
	deadLettersWaiting = 4096 // to be encoded
	deadLetterBytes    = 4096 // of a payload; a larger one is left out
)

// DeadLetter is a message that reached nobody, or whose turn was not stored, and whose
// sender was not told: one that met a full mailbox on its way from a turn, or waited
// when its actor stopped or failed to come to memory. A message to a plain actor that
// has stopped is one too, though its sender gets [ErrStopped]. A message whose turn waits
// for the store when a shutdown is given up is none: it may yet be stored.
type DeadLetter struct {
	Time    time.Time
	Target  string // the actor's address
	Type    string // the message's Go type
	Payload []byte // the message as JSON, if encoding/json can make at most 4 KiB of it
	Reason  error  // why
}

// body is a dead letter on its way to be one.
type body struct {
	ctx    context.Context
	msg    any
	letter DeadLetter
}

// dead are the newest dead letters.
type dead struct {
	mu     sync.Mutex
	newest []DeadLetter // a ring
	count  uint64
}

// bury makes a dead letter of a message. It calls nobody's code: that is left to the
// lane, so that nothing else waits for it.
func (s *System) bury(ctx context.Context, target string, msg any, why error) {
	name := fmt.Sprintf("%T", msg)
	name = strings.ToValidUTF8(name[:min(len(name), backend.MaxTypeBytes)], "")
	s.graves.put(body{ctx, msg, DeadLetter{Time: s.now(), Target: target, Type: name, Reason: why}}, 1)
}

// buryAll is the lane's.
func (s *System) buryAll(bodies []body) {
	for i := range bodies {
		b := &bodies[i]
		b.letter.Payload = encoded(b.msg)
		done := s.onDeadLetter(b.ctx, b.letter)
		s.dead.add(b.letter)
		s.storeDeadLetter(&b.letter)
		done(nil)
	}
}

// encoded returns a message as JSON; nil if it has none, or too much.
func encoded(msg any) (payload []byte) {
	err := guard(func() (err error) {
		payload, err = json.Marshal(msg)
		return err
	})
	if err != nil || len(payload) > deadLetterBytes {
		return nil
	}
	return payload
}

func (d *dead) add(l DeadLetter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.newest) < deadLettersKept {
		d.newest = append(d.newest, l)
	} else {
		d.newest[d.count%deadLettersKept] = l
	}
	d.count++
}

// last returns the newest n, oldest first.
func (d *dead) last(n int) []DeadLetter {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = max(0, min(n, len(d.newest)))
	out := make([]DeadLetter, n)
	for i := range out {
		out[i] = d.newest[(d.count-uint64(n-i))%deadLettersKept]
	}
	return out
}

func (d *dead) total() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// DeadLetters returns the newest n dead letters, oldest first, of the last 256 that
// are kept in memory. All are recorded in $sys/<name>/deadletter, unless the system
// records nothing, as far as they find room. They become dead letters beside what the
// actors do: shortly after their end.
func (s *System) DeadLetters(n int) []DeadLetter { return s.dead.last(n) }

func (s *System) storeDeadLetter(l *DeadLetter) {
	if s.cfg.Facts == FactsNone {
		return
	}
	stored := struct {
		Target  string          `json:"target"`
		Reason  string          `json:"reason"`
		Message json.RawMessage `json:"message,omitempty"`
	}{l.Target, clip(l.Reason), l.Payload}
	s.store(backend.DeadLetter, l.Type, l.Time, stored)
}
