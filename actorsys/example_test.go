package actorsys_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend/memory"
)

type Account struct{ Cents int64 }
type Deposited struct{ Cents int64 }
type Deposit struct{ Cents int64 }

func (e Deposited) Evolve(a Account) Account { a.Cents += e.Cents; return a }
func (c Deposit) Reply(a Account) int64      { return a.Cents }

func (c Deposit) Decide(_ *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) {
	if c.Cents <= 0 {
		return nil, errors.New("a deposit needs money")
	}
	return []actorsys.Event[Account]{Deposited{c.Cents}}, nil
}

func Example() {
	ctx := context.Background()
	store, err1 := memory.Open(ctx, nil)
	sys, err2 := actorsys.Start(ctx, actorsys.Config{Backend: store})
	accounts, err3 := actorsys.Register(sys, "account", actorsys.Events[Account]{actorsys.On[Deposited]("deposited", 1)}, nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	defer sys.Shutdown(ctx)
	actorsys.Ask(ctx, accounts.Ref("ada"), Deposit{50})
	fmt.Println(actorsys.Ask(ctx, accounts.Ref("ada"), Deposit{25}))
	fmt.Println(actorsys.Ask(ctx, accounts.Ref("ada"), Deposit{-1}))
	// Output:
	// 75 <nil>
	// 0 a deposit needs money
}
