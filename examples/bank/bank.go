package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// The kinds of actors: they begin the names of the streams, and never change.
const (
	accountKind  = "account"
	transferKind = "transfer"
)

// snapshotEvery bounds what an account replays when it is used for the first time.
const snapshotEvery = 2048

// bank is the service without its HTTP side.
type bank struct {
	store     *backend.Backend
	sys       *actorsys.System
	accounts  *actorsys.Kind[Account]
	transfers *actorsys.Kind[Transfer]
	courier   *courier
	log       *slog.Logger
}

// newBank starts the actors over a store, which stays the caller's, and takes up the
// transfers that an earlier process left pending.
func newBank(ctx context.Context, store *backend.Backend, log *slog.Logger) (*bank, error) {
	sys, err := actorsys.Start(ctx, actorsys.Config{Name: "bank", Backend: store, Logger: log})
	if err != nil {
		return nil, err
	}
	b := &bank{store: store, sys: sys, log: log}
	if err := b.register(); err != nil {
		return nil, errors.Join(err, sys.Shutdown(ctx))
	}
	b.courier = newCourier(b)
	b.courier.goes.Go(b.courier.takeUp)
	return b, nil
}

func (b *bank) register() (err error) {
	b.accounts, err = actorsys.Register(b.sys, accountKind, accountEvents(), &actorsys.Options[Account]{SnapshotEvery: snapshotEvery, SnapshotSchema: schema})
	if err != nil {
		return err
	}
	b.transfers, err = actorsys.Register(b.sys, transferKind, transferEvents(), nil)
	return err
}

// close ends the transfers' work, which goes on at the next start, and then the
// actors. The store stays open.
func (b *bank) close(ctx context.Context) error {
	b.courier.close(courierGrace)
	return b.sys.Shutdown(ctx)
}

// happening is one event of a history.
type happening struct {
	Version uint64    `json:"version"`
	Type    string    `json:"type"`
	ID      string    `json:"id,omitempty"`
	Cents   int64     `json:"cents"`
	Balance int64     `json:"balance"` // after the event
	Time    time.Time `json:"time"`
}

// history returns an account's events from a version on, at most limit; none if there
// is no such account.
func (b *bank) history(ctx context.Context, account string, from uint64, limit int) ([]happening, error) {
	events := []happening{}
	q := backend.Query{Stream: accountKind + "/" + account, From: from, Limit: limit}
	for rec, err := range b.store.Read(ctx, q) {
		if err != nil {
			return nil, err
		}
		h := happening{Version: uint64(rec.Version), Type: rec.Type, Time: rec.Time}
		if err := json.Unmarshal(rec.Payload, &h); err != nil {
			return nil, fmt.Errorf("stream %q version %d: %w", rec.Stream, rec.Version, err)
		}
		events = append(events, h)
	}
	return events, nil
}
