package custombackend

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"modernc.org/sqlite"
)

func TestTheBackendHasAtMost300Lines(t *testing.T) {
	n := 0
	for _, name := range []string{"store.go", "records.go", "check.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, _ := strings.Cut(string(text), "\nimport (")
		_, code, _ := strings.Cut(rest, "\n)\n")
		for line := range strings.Lines(before + "\n" + code) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				n++
			}
		}
	}
	t.Logf("%d lines of code, imports aside", n)
	if n > 300 {
		t.Errorf("%d lines of code, imports aside: want at most 300", n)
	}
}

// fresh opens a new store that holds five events and a snapshot at version 3.
func fresh(t *testing.T) (*backend.Backend, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a%20b? #.db") // a URL must not change it
	b := reopened(t, path, nil)
	batch := backend.Batch{Stream: "s"}
	for i := range 5 {
		batch.Records = append(batch.Records, backend.Record{Type: "t", Payload: fmt.Appendf(nil, "payload %d", i+1)})
	}
	if _, err := b.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "s", Version: 3, Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	return b, path
}

func reopened(t *testing.T, path string, opts *backend.Options) *backend.Backend {
	t.Helper()
	b, err := Open(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// meddle changes the file behind the store's back.
func meddle(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := pool(path, "rw")
	db.SetMaxOpenConns(1)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func versions(t *testing.T, b *backend.Backend, q backend.Query) (got []backend.Version, err error) {
	for r, e := range b.Read(t.Context(), q) {
		if err = e; err == nil {
			got = append(got, r.Version)
		}
	}
	return got, err
}

// A suite can't see whether a commit was synced; this is what it rests on.
func TestEveryConnectionSyncsEachCommit(t *testing.T) {
	s, err := openStore(t.Context(), filepath.Join(t.TempDir(), "s.db"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 3 {
		conn, err := s.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "fullfsync": "1", "auto_vacuum": "2"} {
			var got string
			if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s, %v: want %s", pragma, got, err, want)
			}
		}
	}
}

func TestDamageIsAnErrorAtItsPlace(t *testing.T) {
	for _, row := range []struct {
		name, statement string
		stream          string // what reading the stream yields before the error
		store           bool   // whether reading the store shows it too
		code            backend.AnomalyCode
	}{
		{"a payload's byte", "UPDATE records SET record = CAST(replace(record, 'payload 4', 'payload 5') AS BLOB) WHERE position = 4", "[1 2 3]", true, backend.BadChecksum},
		{"the last byte is gone", "UPDATE records SET record = substr(record, 1, length(record) - 1) WHERE position = 4", "[1 2 3]", true, backend.BadChecksum},
		{"a byte too many", "UPDATE records SET record = record || x'00' WHERE position = 4", "[1 2 3]", true, backend.BadChecksum},
		{"another record's envelope", "UPDATE records SET record = (SELECT record FROM records WHERE position = 2) WHERE position = 4", "[1 2 3]", true, backend.BadChecksum},
		{"a record gone from the middle", "DELETE FROM records WHERE position = 4", "[1 2 3]", false, backend.WrongHead},
		{"a record gone from the end", "DELETE FROM records WHERE position = 5", "[1 2 3 4]", false, backend.WrongHead},
		{"a record of another stream", "UPDATE records SET stream = 'x' WHERE position = 4", "[1 2 3]", true, backend.BadChecksum},
		{"a record that is called a snapshot", "UPDATE records SET snapshot = 1 WHERE position = 4", "[1 2 3]", true, backend.BadChecksum},
		{"a number that is none", "UPDATE records SET version = 'four' WHERE position = 4", "[1 2 3]", true, backend.BadChecksum},
		{"a head too low", "UPDATE streams SET version = 4", "", false, backend.WrongHead},
		{"no head", "DELETE FROM streams", "", false, backend.WrongHead},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, path := fresh(t)
			b.Close()
			meddle(t, path, row.statement)
			b = reopened(t, path, nil)
			got, err := versions(t, b, backend.Query{Stream: "s"})
			if row.stream != "" && (fmt.Sprint(got) != row.stream || !errors.Is(err, backend.ErrCorrupt)) {
				t.Errorf("the stream: %v, %v: want %s and ErrCorrupt", got, err, row.stream)
			}
			if _, err = versions(t, b, backend.Query{Kinds: backend.AllKinds}); row.store != errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("the store: %v: want ErrCorrupt: %v", err, row.store)
			}
			report, err := b.Scan(t.Context(), nil)
			if err != nil || report.Damages == 0 || !strings.Contains(fmt.Sprint(report.Anomalies), string(row.code)) {
				t.Errorf("the scan: %+v, %v: want %s", report, err, row.code)
			}
		})
	}
}

func TestAnIndexThatHasGoneWrongIsMadeAgain(t *testing.T) {
	b, path := fresh(t)
	b.Close()
	meddle(t, path, // the same index, of all records but one
		"DROP INDEX by_stream", "CREATE INDEX by_stream ON records (stream, snapshot, version, position) WHERE position <> 4", "PRAGMA writable_schema = ON",
		"UPDATE sqlite_schema SET sql = replace(sql, ' WHERE position <> 4', '') WHERE name = 'by_stream'")
	b = reopened(t, path, nil)
	report, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Repair})
	if err != nil || report.Before.Clean() || len(report.Actions) != 1 || !report.After.Clean() {
		t.Fatalf("%+v, %v: want damage before, one action, and none after", report, err)
	}
	if got, err := versions(t, b, backend.Query{Stream: "s"}); err != nil || len(got) != 5 {
		t.Errorf("after the repair: %v, %v", got, err)
	}
}

func TestACommitThatFailsPoisonsUntilReopen(t *testing.T) {
	fail, path := false, filepath.Join(t.TempDir(), "s.db")
	b, err := backend.New(t.Context(), func(ctx context.Context) (backend.Driver, error) {
		s, err := openStore(ctx, path, false)
		if err != nil {
			return nil, err
		}
		return backend.Sequenced(s), onCommit(ctx, s.db, func() bool { return fail })
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	one := backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{}}}
	if _, err := b.Append(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	fail = true
	if _, err := b.Append(t.Context(), one); !errors.Is(err, backend.ErrUnknownOutcome) || !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("an append whose commit failed: %v: want ErrUnknownOutcome and ErrPoisoned", err)
	}
	fail = false
	if _, err := b.Append(t.Context(), one); !errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome) {
		t.Errorf("the append after it: %v: want ErrPoisoned", err)
	}
	if got, err := versions(t, b, backend.Query{Stream: "s"}); err != nil || fmt.Sprint(got) != "[1]" {
		t.Errorf("reading a poisoned store: %v, %v: want [1]", got, err)
	}
	if err := b.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res, err := b.Append(t.Context(), one); err != nil || res.Version != 2 {
		t.Errorf("an append after Reopen: %+v, %v: want version 2", res, err)
	}
}

// onCommit has the pool's one connection ask fail before each commit.
func onCommit(ctx context.Context, db *sql.DB, fail func() bool) error {
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(c any) error {
		c.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
			if fail() {
				return 1
			}
			return 0
		})
		return nil
	})
}
