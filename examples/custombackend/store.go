// Package custombackend is a papyra backend in a module of its own, over SQLite: one
// file, one writing process, durable. It uses what papyra exports and nothing else, so
// that it can be read as the pattern for a backend of your own.
//
// It is an example: it passes the conformance suite and does what it claims, and is not
// one of papyra's engines.
//
// Where to read next: records.go for appending and reading, check.go for scan, repair
// and compaction, docs/custom-backend.md for the walk through all of it.
package custombackend

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// format is the file's user_version: "pap" and the version of the tables.
const format = 0x70617002

// schema makes a store, all or nothing. Each record is one envelope of package codec; the
// columns beside it are there to find it, and are compared with it on each read.
// AUTOINCREMENT remembers the highest position ever given.
const schema = `
PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE; PRAGMA user_version = %d;
CREATE TABLE store   (uuid BLOB NOT NULL);
CREATE TABLE streams (name TEXT PRIMARY KEY, version INTEGER NOT NULL, epoch INTEGER NOT NULL, floor INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE records (position INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, snapshot INTEGER NOT NULL, version INTEGER NOT NULL, record BLOB NOT NULL);
CREATE INDEX by_stream ON records (stream, snapshot, version, position);
INSERT INTO store VALUES (x'%x'); COMMIT`

func init() { backend.Register("sqlite", backend.Scheme{Open: openURL}) }

// openURL opens sqlite:///absolute/path.db or sqlite:relative/path.db.
func openURL(ctx context.Context, u *url.URL, opts backend.Options) (*backend.Backend, error) {
	if path := u.Path + u.Opaque; u.Host == "" && path != "" {
		return Open(ctx, path, &opts)
	}
	return nil, &backend.OpError{Op: backend.OpOpen, Backend: opts.Name, Err: fmt.Errorf("%w: want sqlite:///absolute/path.db or sqlite:relative/path.db", backend.ErrInvalid)}
}

// Open opens the store in the file at path, and creates it if its directory exists. One
// handle at a time may write; any number may read beside it, opened with
// [backend.Options.ReadOnly]. Nil options are the defaults.
//
// Errors: [backend.ErrLocked]; [backend.ErrFormat] if the file holds something else;
// [backend.ErrCorrupt]; [backend.ErrNoSpace]; [backend.ErrUnavailable].
func Open(ctx context.Context, path string, opts *backend.Options) (*backend.Backend, error) {
	return backend.New(ctx, func(ctx context.Context) (backend.Driver, error) {
		s, err := openStore(ctx, path, opts != nil && opts.ReadOnly)
		if err != nil {
			return nil, err
		}
		return backend.Sequenced(s), nil
	}, opts)
}

// store is a file that is open: the LogDriver. Sequenced lets one of its writing methods
// run at a time; the others run beside it.
type store struct {
	db   *sql.DB
	lock *sql.DB // of a file beside the store: in a transaction for as long as the store may be written
	seed codec.Seed
}

func openStore(ctx context.Context, path string, readOnly bool) (*store, error) {
	path, err := filepath.Abs(path)
	if real, err := filepath.EvalSymlinks(path); err == nil { // one store, one lock
		path = real
	}
	mode := map[bool]string{true: "ro", false: "rwc"}[readOnly]
	if !readOnly { // a new file is its owner's alone; one that is there is not touched, or SQLite would lose its locks on it
		if f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
		}
	}
	// Without synchronous=FULL a commit is not synced, and not durable.
	s := &store{db: pool(path, mode, "busy_timeout(5000)", "synchronous(FULL)", "fullfsync(1)"), lock: pool(path+".lock", "rwc")}
	if err == nil && !readOnly {
		err = exec(ctx, s.lock, "BEGIN EXCLUSIVE") // the end of the process ends it too
	}
	if err == nil {
		err = s.identify(ctx, readOnly)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(err, s.Close()))
	}
	return s, nil
}

// pool makes connections to a file when they are needed, each with the pragmas. (An error
// would be that no such driver is imported.)
func pool(path, mode string, pragmas ...string) *sql.DB {
	query := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": pragmas}
	db, _ := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String())
	return db
}

// identify checks that the file is a store, and learns the seed of its checksums. Of an
// empty file it makes a store, all or nothing.
func (s *store) identify(ctx context.Context, readOnly bool) error {
	version, tables, uuid := 0, 0, make([]byte, 16)
	err := one(ctx, s.db, "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version", nil, &version, &tables)
	if err == nil && version == 0 && tables == 0 && !readOnly {
		rand.Read(uuid)
		err = exec(ctx, s.db, fmt.Sprintf(schema, format, uuid))
	} else if err == nil && version != format {
		err = fmt.Errorf("%w: user_version %#x: want %#x", backend.ErrFormat, version, format)
	}
	if err == nil {
		err = one(ctx, s.db, "SELECT iif(length(uuid) = 16, 16, NULL), uuid FROM (SELECT (SELECT uuid FROM store) AS uuid)", nil, &version, &uuid)
	}
	s.seed = codec.NewSeed([16]byte(uuid))
	return err
}

// Info says what is claimed, and tested.
func (s *store) Info() backend.Info {
	return backend.Info{Engine: "sqlite", Capabilities: backend.Capabilities{Durable: true, Repair: true, Compact: true}}
}

// Close gives up the lock last.
func (s *store) Close() error { return errors.Join(s.db.Close(), s.lock.Close()) }

// querier is what a pool and a transaction have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func exec(ctx context.Context, in querier, query string, args ...any) error {
	_, err := in.ExecContext(ctx, query, args...)
	return explain(ctx, err)
}

// rows scans one row after the other into dest, and yields nil for each. An error ends it.
func rows(ctx context.Context, in querier, query string, args []any, dest ...any) iter.Seq[error] {
	return func(yield func(error) bool) {
		rows, err := in.QueryContext(ctx, query, args...)
		if err == nil {
			defer rows.Close()
			for err == nil && rows.Next() {
				if err = rows.Scan(dest...); err != nil { // a column holds what it can't
					err = fmt.Errorf("%w: %w", backend.ErrCorrupt, err)
				} else if !yield(nil) {
					return
				}
			}
			err = errors.Join(err, rows.Err())
		}
		if err != nil {
			yield(explain(ctx, err))
		}
	}
}

// one scans the row that there is; if there is none, dest stays as it is.
func one(ctx context.Context, in querier, query string, args []any, dest ...any) (err error) {
	for err = range rows(ctx, in, query, args, dest...) {
	}
	return err
}

// change makes what f writes durable, all or none. After a commit that failed nobody knows
// whether it is in the log: only opening again can tell. A full disk is the exception: the
// frame that would commit is not whole then.
func (s *store) change(ctx context.Context, f func(tx *sql.Tx) error) error {
	whole := context.WithoutCancel(ctx) // a commit is not interrupted
	tx, err := s.db.BeginTx(whole, nil)
	if err != nil {
		return explain(ctx, err)
	}
	defer tx.Rollback() // of nothing, once it is committed
	if err := f(tx); err != nil {
		return err
	}
	err = explain(whole, tx.Commit())
	if err != nil && !errors.Is(err, backend.ErrNoSpace) {
		err = fmt.Errorf("%w: %w: commit: %w", backend.ErrUnknownOutcome, backend.ErrPoisoned, err)
	}
	return err
}

// meaning is the sentinel for a result code of SQLite. Others the Backend makes
// ErrUnavailable. The statements are right: where SQLite finds an error in one, the schema is
// not what it was.
var meaning = map[int]error{sqlite3.SQLITE_ERROR: backend.ErrCorrupt, sqlite3.SQLITE_BUSY: backend.ErrLocked, sqlite3.SQLITE_FULL: backend.ErrNoSpace, sqlite3.SQLITE_CORRUPT: backend.ErrCorrupt, sqlite3.SQLITE_NOTADB: backend.ErrFormat}

// explain wraps what SQLite said in the sentinel that tells callers what to do.
func explain(ctx context.Context, err error) error {
	var said *sqlite.Error
	switch {
	case err != nil && ctx.Err() != nil: // SQLite was interrupted
		return context.Cause(ctx)
	case errors.As(err, &said) && meaning[said.Code()&0xff] != nil:
		return fmt.Errorf("%w: %w", meaning[said.Code()&0xff], err)
	}
	return err
}
