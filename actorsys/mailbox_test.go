package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
)

func TestTellNeverWaitsAndSendWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		box := spawn(t, sys, "box", &actorsys.Plain[*Box]{Mailbox: 2})
		letGo := hold(box)
		for _, c := range []Put{"a", "b"} {
			if err := box.Tell(c); err != nil {
				t.Error(err)
			}
		}
		if err := box.Tell(Put("lost")); err != actorsys.ErrMailboxFull {
			t.Errorf("a third: %v", err)
		}
		sent := make(order, 10)
		for _, c := range []Put{"c", "d", "e"} {
			go func() { sent <- fmt.Sprint(c, " ", box.Send(t.Context(), c)) }()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := box.Send(ctx, Put("late")); !errors.Is(err, actorsys.ErrMailboxFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a sender who does not wait: %v", err)
		}
		if err := box.Send(ctx, Put("late")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a sender who came too late: %v", err)
		}
		want(t, "sent before there was room", sent.all(), []string{})
		letGo()
		synctest.Wait()
		want(t, "sent", slices.Sorted(slices.Values(sent.all())), []string{"c <nil>", "d <nil>", "e <nil>"})
		want(t, "seen", seen(t, box), "a b c d e")
		want(t, "dead letters", letters(sys), []string{})
	})
}

func TestSendersComeInOneByOneAsRoomIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := spawn(t, start(t, actorsys.Config{Backend: open(t)}), "box", &actorsys.Plain[*Box]{Mailbox: 1})
		next := make(chan struct{})
		step := In(func(*actorsys.Turn, *Box) error { <-next; return nil })
		box.Tell(step)
		synctest.Wait()
		sent := make(order, 10)
		for i := range 4 {
			go func() {
				box.Send(t.Context(), step)
				sent <- fmt.Sprint(i)
			}()
			synctest.Wait()
		}
		for _, w := range []string{"[0]", "[1]", "[2]", "[3]", "[]"} {
			want(t, "sent", sent.all(), w)
			next <- struct{}{}
			synctest.Wait()
		}
	})
}

func TestAllMailboxesTogetherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t), MaxMessages: 10})
		a, b := spawn(t, sys, "a", nil), spawn(t, sys, "b", nil)
		goA, goB := hold(a), hold(b)
		told := 0
		for i := range 20 {
			if []actorsys.Ref[*Box]{a, b}[i%2].Tell(Put("x")) == nil {
				told++
			}
		}
		sent := make(chan error, 1)
		go func() { sent <- a.Send(t.Context(), Put("y")) }()
		synctest.Wait()
		if told != 10 || len(sent) != 0 {
			t.Errorf("%d told, %d sent", told, len(sent))
		}
		goA()
		goB()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		want(t, "seen", seen(t, a)+", "+seen(t, b), "x x x x x y, x x x x x")
		if err := a.Tell(Put("z")); err != nil {
			t.Error(err)
		}
	})
}
