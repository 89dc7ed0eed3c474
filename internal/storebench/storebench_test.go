package storebench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

var work = Work{Writers: 4, Size: LeastSize, Batch: 3, Streams: 7, Duration: 40 * time.Millisecond, Rounds: 2, Reads: 10}

func measured(t *testing.T, w Work, change func(*Store)) (*Store, error) {
	t.Helper()
	b, err := memory.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s := &Store{Name: "memory", B: b}
	if change == nil {
		return s, Run(t.Context(), w, []*Store{s}, func(string, time.Duration, time.Duration) {})
	}
	return s, Run(t.Context(), w, []*Store{s}, func(what string, _, _ time.Duration) {
		if what == "checking memory" {
			change(s)
		}
	})
}

func TestWhatIsMeasuredIsWhatIsThere(t *testing.T) {
	s, err := measured(t, work, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Records == 0 || s.Records%3 != 0 || s.Verified != s.Records {
		t.Errorf("%d records acknowledged, %d verified", s.Records, s.Verified)
	}
	if len(s.Appends) != 2 || len(s.Replays) != 2 || len(s.Reads) != 2 || s.P50 <= 0 || s.P99 < s.P50 {
		t.Errorf("%+v", s.Result)
	}
}

func TestALostOrForeignRecordIsFound(t *testing.T) {
	good := make([]byte, LeastSize)
	mark(good, 3)
	for name, change := range map[string]func(*Store){
		"one that is acknowledged and not there": func(s *Store) { s.acked[3].records++ },
		"one of another stream": func(s *Store) {
			_, _ = s.B.Append(context.Background(), backend.Batch{Stream: stream(2), Expected: backend.Any, Records: []backend.Record{{Payload: good}}})
		},
		"one that was changed": func(s *Store) {
			bad := append([]byte(nil), good...)
			bad[20] ^= 1
			_, _ = s.B.Append(context.Background(), backend.Batch{Stream: stream(3), Expected: backend.Any, Records: []backend.Record{{Payload: bad}}})
		},
		"one that is too short": func(s *Store) {
			_, _ = s.B.Append(context.Background(), backend.Batch{Stream: stream(3), Expected: backend.Any, Records: []backend.Record{{Payload: good[:9]}}})
		},
		"some that are gone": func(s *Store) {
			_, _ = s.B.Compact(context.Background(), backend.Cut{Floors: []backend.StreamFloor{{Stream: stream(5), Delete: true}}})
		},
	} {
		if _, err := measured(t, work, change); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheMiddleOfRates(t *testing.T) {
	if m := (Rates{5, 1, 3}).Median(); m != 3 {
		t.Error(m)
	}
	if m := (Rates{4, 2}).Median(); m != 3 {
		t.Error(m)
	}
	if m := (Rates{}).Median(); m != 0 {
		t.Error(m)
	}
}
