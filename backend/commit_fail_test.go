package backend_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func TestAStoreThatHangsIsAnUnknownOutcomeAfterWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, release := holding()
		b := over(t, d, &backend.Options{WriteTimeout: 5 * time.Second})
		start := time.Now()
		if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrUnknownOutcome) {
			t.Errorf("Append = %v, want ErrUnknownOutcome", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v, want 5s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := b.Append(ctx, one("s")); !errors.Is(err, context.DeadlineExceeded) { // queued behind it
			t.Errorf("Append behind it = %v, want its deadline", err)
		}
		cancel()
		close(release) // the store comes back: so does the backend
		if _, err := b.Append(t.Context(), one("s")); err != nil {
			t.Errorf("Append afterwards = %v", err)
		}
		b.Close()
	})
}

func TestADriverThatPanicsPoisonsAndEveryoneIsAnswered(t *testing.T) {
	for name, misbehave := range map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &stub{}
				d.append = func(g []backend.Batch) ([]backend.Result, error) { misbehave(); return nil, nil }
				b := over(t, d, nil)
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrPoisoned) {
							t.Errorf("Append = %v, want ErrPoisoned", err)
						}
					})
				}
				wg.Wait()
				if err := b.Poisoned(); !errors.Is(err, backend.ErrPoisoned) {
					t.Errorf("Poisoned = %v", err)
				}
				d.append = nil
				if err := b.Reopen(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Append(t.Context(), one("s")); err != nil {
					t.Errorf("Append after Reopen = %v", err)
				}
				if err := b.Close(); err != nil || d.closed != 2 {
					t.Errorf("Close = %v after %d closes of the driver, want 2", err, d.closed)
				}
			})
		})
	}
}

func TestAPanicInTheCallersOwnLeadIsNoPanicOfTheCaller(t *testing.T) {
	d := &stub{append: func(g []backend.Batch) ([]backend.Result, error) { panic("boom") }}
	b := over(t, d, nil)
	_, err := b.Append(context.Background(), one("s"))
	if !errors.Is(err, backend.ErrPoisoned) || !errors.Is(err, backend.ErrUnknownOutcome) || !strings.Contains(err.Error(), "boom") {
		t.Errorf("Append = %v, want ErrPoisoned and ErrUnknownOutcome with the panic's value", err)
	}
	b.Close()
}

func TestAnErrorThatIsNotPoisonLeavesTheBackendFit(t *testing.T) {
	d := &stub{append: func(g []backend.Batch) ([]backend.Result, error) {
		return nil, fmt.Errorf("%w: 0 bytes left", backend.ErrNoSpace)
	}}
	b := over(t, d, nil)
	defer b.Close()
	if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("Append = %v", err)
	}
	d.append = nil
	if _, err := b.Append(t.Context(), one("s")); err != nil {
		t.Errorf("Append with space again = %v", err)
	}
	if n := b.Metrics().Snapshot(); n.WritesTotal != 1 || n.WriteErrors != 1 {
		t.Errorf("counted %+v", n)
	}
}

func TestAReopenThatFailsKeepsThePoisonAndCanBeTriedAgain(t *testing.T) {
	d := &stub{}
	var fail error
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) {
		if fail != nil {
			return nil, fail
		}
		return d, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	fail = fmt.Errorf("%w: not now", backend.ErrLocked)
	if err := b.Reopen(t.Context()); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("Reopen = %v", err)
	}
	if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("Append = %v", err)
	}
	if _, err := b.Last(t.Context()); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("Last = %v", err)
	}
	fail = nil
	if err := b.Reopen(t.Context()); err != nil {
		t.Errorf("Reopen = %v", err)
	}
	if _, err := b.Append(t.Context(), one("s")); err != nil {
		t.Errorf("Append = %v", err)
	}
}

func TestARawErrorOfAnEngineIsWrapped(t *testing.T) {
	raw := errors.New("raw")
	d := &stub{append: func([]backend.Batch) ([]backend.Result, error) { return nil, raw }}
	b := over(t, d, &backend.Options{Name: "mine"})
	defer b.Close()
	var oe *backend.OpError
	if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrUnavailable) || !errors.Is(err, raw) || !errors.As(err, &oe) || oe.Backend != "mine" {
		t.Errorf("Append = %v, want an OpError that wraps ErrUnavailable and the cause", err)
	}
	if _, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return nil, raw }, nil); !errors.Is(err, backend.ErrUnavailable) || !errors.Is(err, raw) {
		t.Errorf("New = %v", err)
	}
	cause := errors.New("the caller's own cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := b.Append(ctx, one("s")); !errors.Is(err, cause) || errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Append with a cancelled context = %v", err)
	}
}

func TestNobodyGetsTheDriverToHimselfWhileAWriteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, release := holding()
		b := over(t, d, &backend.Options{WriteTimeout: time.Second})
		if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrUnknownOutcome) {
			t.Fatalf("Append = %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Reopen(ctx); !errors.Is(err, context.DeadlineExceeded) || d.closed != 0 {
			t.Errorf("Reopen beside the write = %v, and closed the driver %d times", err, d.closed)
		}
		if _, err := b.Recover(ctx, backend.RecoveryOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Recover beside the write = %v", err)
		}
		close(release)
		if err := b.Reopen(t.Context()); err != nil || d.closed != 1 {
			t.Errorf("Reopen afterwards = %v", err)
		}
		b.Close()
	})
}

func TestADriverThatPanicsInCloseOrOpenLeavesNobodyHanging(t *testing.T) {
	d := &panicky{}
	opens := 0
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) {
		if opens++; opens == 2 {
			panic("boom in open")
		}
		return d, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Reopen(t.Context()); !errors.Is(err, backend.ErrPoisoned) || !strings.Contains(err.Error(), "boom") {
		t.Errorf("Reopen = %v", err)
	}
	if _, err := b.Last(t.Context()); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("Last = %v", err)
	}
	if err := b.Reopen(t.Context()); err != nil {
		t.Errorf("the second Reopen = %v", err)
	}
	first, second := b.Close(), b.Close()
	if !errors.Is(first, backend.ErrPoisoned) || second == nil {
		t.Errorf("Close = %v, then %v", first, second)
	}
}

// panicky is a stub whose Close panics.
type panicky struct{ stub }

func (d *panicky) Close() error { panic("boom in close") }

func TestEachGroupHasTheWholeWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 5 * time.Second
		var hang chan struct{}
		d := &stub{append: func(g []backend.Batch) ([]backend.Result, error) {
			if hang != nil {
				<-hang
			}
			return make([]backend.Result, len(g)), nil
		}}
		b := over(t, d, &backend.Options{WriteTimeout: timeout})
		for _, idle := range []time.Duration{0, timeout / 2, timeout, 3 * timeout} {
			if _, err := b.Append(t.Context(), one("s")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(idle) // the watchdog may still be waiting, or have seen that all is well
			hang = make(chan struct{})
			start := time.Now()
			_, err := b.Append(t.Context(), one("s"))
			if took := time.Since(start); !errors.Is(err, backend.ErrUnknownOutcome) || took != timeout {
				t.Errorf("a group that hangs %v after the one before: %v after %v", idle, err, took)
			}
			close(hang)
			synctest.Wait()
			hang = nil
		}
		b.Close()
	})
}
