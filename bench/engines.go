package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

// engine is one of those that are compared: open makes an appender over a new store
// and a function that closes it.
type engine struct {
	name string
	open func(ctx context.Context, dir string) (appender, func() error, error)
}

var engines = []engine{
	{"file", openFile},
	{"pebble", openPebble},
}

func names() (all []string) {
	for _, e := range engines {
		all = append(all, e.name)
	}
	return all
}

func (e engine) measure(ctx context.Context, dir string, writers int, d time.Duration) (sample, error) {
	write, closeStore, err := e.open(ctx, dir)
	if err != nil {
		return sample{}, err
	}
	got, err := drive(ctx, writers, d, write)
	if closeErr := closeStore(); err == nil {
		err = closeErr
	}
	return got, err
}

// openFile appends through the whole Backend, with the expected version of each
// stream checked.
func openFile(ctx context.Context, dir string) (appender, func() error, error) {
	b, err := file.Open(ctx, dir, nil)
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, streams+1024)
	versions := make([]backend.Version, len(names))
	for i := range names {
		names[i] = "account/" + strconv.Itoa(i)
	}
	write := func(_ context.Context, stream int, payload []byte) error {
		records := [1]backend.Record{{Kind: backend.Event, Type: "deposited", Time: time.Now(), Payload: payload}}
		res, err := b.Append(context.Background(), backend.Batch{Stream: names[stream], Expected: versions[stream], Records: records[:]})
		versions[stream] = res.Version
		return err
	}
	return write, b.Close, nil
}

// openPebble is pebble used directly: one synced Set an event under stream and
// sequence number, its own group commit at work, and no version checked.
func openPebble(_ context.Context, dir string) (appender, func() error, error) {
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, MemTableSize: 64 << 20, Logger: quiet{}})
	if err != nil {
		return nil, nil, err
	}
	versions := make([]uint64, streams+1024)
	write := func(_ context.Context, stream int, payload []byte) error {
		var key [16]byte
		versions[stream]++
		binary.BigEndian.PutUint64(key[:], uint64(stream))
		binary.BigEndian.PutUint64(key[8:], versions[stream])
		return db.Set(key[:], payload, pebble.Sync)
	}
	return write, db.Close, nil
}

// quiet keeps pebble's log out of the table.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
