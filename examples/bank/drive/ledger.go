package main

import "fmt"

// kind is what an operation does.
type kind uint8

const (
	deposit kind = iota
	withdrawal
	transfer
)

// outcome is what a client knows about an operation in the end.
type outcome uint8

const (
	unknown  outcome = iota // never answered: it may be in a history or not
	acked                   // carried out; a transfer: accepted
	declined                // refused: it must not be in any history
)

// entry is one operation in a client's ledger.
type entry struct {
	kind     kind
	outcome  outcome
	retried  bool // sent more than once
	from, to string
	id       string
	cents    int64
	// What an acknowledged deposit or withdrawal was answered.
	balance int64
	version uint64
	// state is a transfer's, in the end: done or refused.
	state string
}

// account is the one that a deposit or a withdrawal is for.
func (e *entry) account() string {
	if e.kind == withdrawal {
		return e.from
	}
	return e.to
}

// tally counts things that must not happen, and keeps the words of the first few.
type tally struct {
	n     int
	first []string
}

// keptWords is how many of them a tally tells in words.
const keptWords = 5

func (t *tally) note(format string, args ...any) {
	if t.n++; len(t.first) < keptWords {
		t.first = append(t.first, fmt.Sprintf(format, args...))
	}
}

func (t *tally) add(other tally) {
	t.n += other.n
	t.first = append(t.first, other.first...)
	t.first = t.first[:min(len(t.first), keptWords)]
}

// trouble is what must be empty in the end.
type trouble struct {
	lost     tally // acknowledged, and not in the history as it was answered
	invented tally // in a history, and not sent, declined, or there twice
	stuck    tally // operations without an outcome, transfers that do not end
	wrong    tally // answers that contradict the request, another answer or the history
}

func (t *trouble) add(other trouble) {
	t.lost.add(other.lost)
	t.invented.add(other.invented)
	t.stuck.add(other.stuck)
	t.wrong.add(other.wrong)
}

func (t *trouble) none() bool { return t.lost.n+t.invented.n+t.stuck.n+t.wrong.n == 0 }
