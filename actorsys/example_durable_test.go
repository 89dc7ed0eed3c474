package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/papyra-go/papyra/actorsys"
)

func ExampleOptions() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)
	accounts, err := actorsys.Register(sys, "account", accountEvents, &actorsys.Options[Account]{
		SnapshotEvery: 100, SnapshotSchema: 1,
		SnapshotWhen: func(a Account) bool { return a.Cents == 0 },
		Truncate:     true, SnapshotKeep: 2,
		Idle: time.Minute,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(actorsys.Ask(ctx, accounts.Ref("ada"), Deposit{50}))
	// Output: 50 <nil>
}

// Transfer is a deposit that the client has given an id.
type Transfer struct {
	Deposit
	ID string
}

func (c Transfer) CommandID() string { return c.ID }

func ExampleDuplicateError() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)
	accounts, _ := actorsys.Register(sys, "account", accountEvents, &actorsys.Options[Account]{Dedup: 1000})
	ada := accounts.Ref("ada")

	fmt.Println(actorsys.Ask(ctx, ada, Transfer{Deposit{50}, "7f3a"}))
	fmt.Println(actorsys.Ask(ctx, ada, Deposit{1}))
	fmt.Println(actorsys.Ask(ctx, ada, Transfer{Deposit{50}, "7f3a"})) // again: the first answer, and nothing is added
	fmt.Println(actorsys.Ask(ctx, ada, Deposit{1}))
	// Output:
	// 50 <nil>
	// 51 <nil>
	// 50 <nil>
	// 52 <nil>
}

// Remind is run when an invoice's alarm rings.
type Remind struct{ letters chan<- string }

func (c Remind) Decide(t *actorsys.Turn, i Invoice) ([]actorsys.Event[Invoice], error) {
	if i.Paid {
		return nil, nil
	}
	letter := "please pay invoice " + t.ID()
	t.After(func(context.Context) { c.letters <- letter })
	t.Alarm(t.Now().AddDate(0, 0, 14)) // and again in two weeks
	return []actorsys.Event[Invoice]{Reminded{}}, nil
}

type Invoice struct {
	Paid      bool
	Reminders int
}
type Reminded struct{}

func (Reminded) Evolve(i Invoice) Invoice { i.Reminders++; return i }

// Send sends an invoice that is due after a time.
type Send struct{ Due time.Duration }

func (c Send) Decide(t *actorsys.Turn, _ Invoice) ([]actorsys.Event[Invoice], error) {
	if c.Due < 0 {
		return nil, errors.New("it was due before it was sent")
	}
	t.Alarm(t.Now().Add(c.Due))
	return nil, nil
}
func (Send) Reply(i Invoice) int { return i.Reminders }

func ExampleTurn_Alarm() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)
	letters := make(chan string, 1)
	invoices, err := actorsys.Register(sys, "invoice", actorsys.Events[Invoice]{actorsys.On[Reminded]("reminded", 1)},
		&actorsys.Options[Invoice]{Alarm: Remind{letters}})
	if err != nil {
		panic(err)
	}
	actorsys.Ask(ctx, invoices.Ref("2026-117"), Send{Due: time.Millisecond})
	fmt.Println(<-letters) // in life: weeks later, and after a restart or two
	// Output: please pay invoice 2026-117
}
