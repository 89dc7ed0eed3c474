package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

// fileEngine is papyra's file backend, through the whole public Backend: expected
// versions are checked, records carry a type and a time.
var fileEngine = engine{
	name:   "file",
	module: "github.com/papyra-go/papyra",
	how:    "the whole Backend: one Append an event or batch, expected version checked, context.Background",
	kind:   fileStore{},
	open:   openFile,
	names:  func(stream int) int { return len(streamName(stream)) + len(eventType) },
}

const eventType = "deposited"

var errNotYet = errors.New("not yet supported")

type fileStore struct{ *backend.Backend }

func openFile(ctx context.Context, dir string, _ int) (store, error) {
	b, err := file.Open(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	return fileStore{b}, nil
}

// names of streams, made once: an application has them at hand.
var streamNames = func() []string {
	all := make([]string, maxStreams)
	for i := range all {
		all[i] = "account/" + strconv.Itoa(i)
	}
	return all
}()

func streamName(stream int) string { return streamNames[stream] }

func (s fileStore) writer() writeFunc {
	var records []backend.Record
	var batches []backend.Batch
	ctx := context.Background()
	return func(events []event) error {
		records, batches = records[:0], batches[:0]
		now := time.Now()
		for _, e := range events {
			records = append(records, backend.Record{Kind: backend.Event, Type: eventType, Time: now, Payload: e.payload})
		}
		for i := 0; i < len(events); {
			first, stream := i, events[i].stream
			for i++; i < len(events) && events[i].stream == stream; i++ {
			}
			batches = append(batches, backend.Batch{Stream: streamName(stream), Expected: backend.Version(events[first].seq - 1), Records: records[first:i]})
		}
		if len(batches) == 1 {
			_, err := s.Append(ctx, batches[0])
			return err
		}
		results, err := s.AppendAll(ctx, batches)
		for i := range results {
			if err == nil {
				err = results[i].Err
			}
		}
		return err
	}
}

func (s fileStore) replay(ctx context.Context, visit func([]byte)) error {
	for r, err := range s.Read(ctx, backend.Query{}) {
		if err != nil {
			return err
		}
		visit(r.Payload)
	}
	return nil
}

func (s fileStore) readStream(ctx context.Context, stream int, visit func([]byte)) error {
	for r, err := range s.Read(ctx, backend.Query{Stream: streamName(stream)}) {
		if err != nil {
			return err
		}
		visit(r.Payload)
	}
	return nil
}

func (s fileStore) scan(ctx context.Context) error {
	report, err := s.Scan(ctx, nil)
	return clean(report, err)
}

func (s fileStore) recoverNothing(ctx context.Context) error {
	report, err := s.Recover(ctx, backend.RecoveryOptions{Mode: backend.Ignore})
	if err != nil {
		return err
	}
	return clean(report.Before, nil)
}

func clean(report *backend.ScanReport, err error) error {
	if err != nil {
		return err
	}
	if !report.Clean() {
		return fmt.Errorf("the scan found: %v", report.Anomalies)
	}
	return nil
}

func (s fileStore) compact(ctx context.Context) error {
	_, err := s.Compact(ctx, backend.Cut{})
	if errors.Is(err, backend.ErrUnsupported) {
		return errNotYet
	}
	return err
}
