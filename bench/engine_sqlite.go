package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite"
)

// sqliteEngine is SQLite as an event store has it: a table in the order of positions,
// with a unique index over stream and number, which is also its version check.
var sqliteEngine = engine{
	name:   "sqlite",
	module: "modernc.org/sqlite",
	how:    "modernc, WAL, synchronous=FULL; one INSERT an event, or one transaction; one mutex; unique index (stream, number)",
	kind:   (*sqliteStore)(nil),
	open:   openSQLite,
	names:  keyNames,
}

type sqliteStore struct {
	*sql.DB
	mu     sync.Mutex // around writes
	insert *sql.Stmt
	stream *sql.Stmt
}

func openSQLite(ctx context.Context, dir string, _ int) (_ store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "events.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &sqliteStore{DB: db}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (stream, seq))`); err != nil {
		return nil, err
	}
	if s.insert, err = db.PrepareContext(ctx, `INSERT INTO events (stream, seq, payload) VALUES (?, ?, ?)`); err != nil {
		return nil, err
	}
	if s.stream, err = db.PrepareContext(ctx, `SELECT payload FROM events WHERE stream = ? ORDER BY seq`); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *sqliteStore) writer() writeFunc {
	return func(events []event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(events) == 1 {
			_, err := s.insert.Exec(events[0].stream, int64(events[0].seq), events[0].payload)
			return err
		}
		tx, err := s.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		insert := tx.Stmt(s.insert)
		defer insert.Close()
		for _, e := range events {
			if _, err := insert.Exec(e.stream, int64(e.seq), e.payload); err != nil {
				return err
			}
		}
		return tx.Commit()
	}
}

func (s *sqliteStore) replay(ctx context.Context, visit func([]byte)) error {
	return each(visit)(s.QueryContext(ctx, `SELECT payload FROM events ORDER BY position`))
}

func (s *sqliteStore) readStream(ctx context.Context, stream int, visit func([]byte)) error {
	return each(visit)(s.stream.QueryContext(ctx, stream))
}

func each(visit func([]byte)) func(*sql.Rows, error) error {
	return func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		var payload sql.RawBytes
		for rows.Next() {
			if err := rows.Scan(&payload); err != nil {
				return err
			}
			visit(payload)
		}
		return rows.Err()
	}
}
