package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// sound is a small world in which nothing is wrong: what two accounts hold, and what
// the clients know.
func sound() (map[string][]event, []entry) {
	histories := map[string][]event{
		"a": {
			{1, "account-opened", "", 0, 0},
			{2, "deposited", "d", 100, 100},
			{3, "withdrawn", "transfer/t/out", 30, 70},
			{4, "withdrawn", "transfer/u/out", 20, 50},
			{5, "deposited", "transfer/u/back", 20, 70},
			{6, "withdrawn", "w", 10, 60},
		},
		"b": {
			{1, "account-opened", "", 0, 0},
			{2, "deposited", "transfer/t/in", 30, 30},
		},
	}
	ledger := []entry{
		{kind: deposit, outcome: acked, to: "a", id: "d", cents: 100, balance: 100, version: 2},
		{kind: withdrawal, outcome: acked, from: "a", id: "w", cents: 10, balance: 60, version: 6},
		{kind: withdrawal, outcome: declined, from: "b", id: "v", cents: 99},
		{kind: transfer, outcome: acked, from: "a", to: "b", id: "t", cents: 30, state: "done"},
		{kind: transfer, outcome: acked, from: "a", to: "b", id: "u", cents: 20, state: "refused"},
		{kind: transfer, outcome: acked, from: "b", to: "a", id: "x", cents: 20, state: "refused"},
	}
	return histories, ledger
}

func TestASoundWorldHasNoTrouble(t *testing.T) {
	histories, ledger := sound()
	if found := compare(histories, ledger); !found.none() {
		t.Errorf("%+v", found)
	}
	if in, held := money(histories, ledger); in != held || in != 90 {
		t.Errorf("%d came in, %d are held", in, held)
	}
	for account, events := range histories {
		last := events[len(events)-1]
		if wrong := chain(account, events, answer{last.Balance, last.Version}); wrong.n > 0 {
			t.Errorf("%+v", wrong)
		}
	}
}

// TestEveryTroubleIsFound breaks the sound world in one way at a time.
func TestEveryTroubleIsFound(t *testing.T) {
	for _, row := range []struct {
		name, want string
		breakIt    func(h map[string][]event, l []entry)
	}{
		{"an acknowledged operation is gone", "lost", func(h map[string][]event, _ []entry) { h["a"] = slices.Delete(h["a"], 5, 6) }},
		{"an acknowledged operation stands elsewhere", "lost", func(_ map[string][]event, l []entry) { l[0].version = 3 }},
		{"an answer told another balance", "lost", func(_ map[string][]event, l []entry) { l[0].balance = 99 }},
		{"an account is gone", "lost", func(h map[string][]event, _ []entry) { delete(h, "b") }},
		{"a done transfer has not arrived", "lost", func(h map[string][]event, _ []entry) { h["b"] = h["b"][:1] }},
		{"an operation is there twice", "invented", func(h map[string][]event, _ []entry) { h["a"] = append(h["a"], h["a"][1]) }},
		{"an operation that nobody sent", "invented", func(h map[string][]event, _ []entry) { h["b"] = append(h["b"], event{3, "deposited", "?", 1, 31}) }},
		{"an operation that was refused", "invented", func(h map[string][]event, _ []entry) { h["b"] = append(h["b"], event{3, "withdrawn", "v", 99, -69}) }},
		{"other cents than were sent", "invented", func(h map[string][]event, _ []entry) { h["a"][1].Cents = 1000 }},
		{"a withdrawal as a deposit", "invented", func(h map[string][]event, _ []entry) { h["a"][5].Type = "deposited" }},
		{"a refused transfer that was not given back", "invented", func(h map[string][]event, _ []entry) { h["a"] = slices.Delete(h["a"], 4, 5) }},
		{"a transfer that arrived and was given back", "invented", func(_ map[string][]event, l []entry) { l[4].state = "done"; l[3].state = "refused" }},
		{"a step twice", "invented", func(h map[string][]event, _ []entry) { h["b"] = append(h["b"], h["b"][1]) }},
		{"a transfer that does not end", "stuck", func(_ map[string][]event, l []entry) { l[3].state = "" }},
	} {
		histories, ledger := sound()
		histories = maps.Clone(histories)
		row.breakIt(histories, ledger)
		found := compare(histories, ledger)
		sorts := map[string]tally{"lost": found.lost, "invented": found.invented, "stuck": found.stuck}
		if sorts[row.want].n == 0 {
			t.Errorf("%s: %s is empty: %+v", row.name, row.want, found)
		}
	}
}

func TestAHistoryThatDoesNotHoldTogetherIsFound(t *testing.T) {
	said := answer{60, 6}
	for _, row := range []struct {
		name    string
		breakIt func(events []event) []event
	}{
		{"a gap", func(e []event) []event { return slices.Delete(e, 2, 3) }},
		{"a balance that does not follow", func(e []event) []event { e[1].Balance++; return e }},
		{"another order", func(e []event) []event { e[2], e[3] = e[3], e[2]; return e }},
		{"not opened first", func(e []event) []event { e[0].Type = "deposited"; return e }},
		{"opened twice", func(e []event) []event { e[1].Type = "account-opened"; return e }},
		{"a missing end", func(e []event) []event { return e[:5] }},
		{"nothing at all", func(e []event) []event { return nil }},
	} {
		histories, _ := sound()
		if wrong := chain("a", row.breakIt(histories["a"]), said); wrong.n == 0 {
			t.Errorf("%s is not found", row.name)
		}
	}
}

func TestATallyKeepsTheFirstWords(t *testing.T) {
	var a, b tally
	for range 20 {
		a.note("a")
		b.note("b")
	}
	a.add(b)
	if a.n != 40 || strings.Join(a.first, "") != "aaaaa" {
		t.Errorf("%+v", a)
	}
}
