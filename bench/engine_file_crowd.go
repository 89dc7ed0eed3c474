package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/papyra-go/papyra/backend"
)

// crowdPayload is what the event of a stream of a crowd holds.
const crowdPayload = "it happened once, and is small"

func crowdName(stream int) string { return "member/" + strconv.Itoa(stream) }

// crowd writes an event into each of the streams from one to another, not included.
func (s fileStore) crowd(ctx context.Context, from, to int) error {
	batches := make([]backend.Batch, 0, to-from)
	records := make([]backend.Record, to-from)
	for i := range records {
		records[i] = backend.Record{Type: eventType, Payload: []byte(crowdPayload)}
		batches = append(batches, backend.Batch{Stream: crowdName(from + i), Expected: 0, Records: records[i : i+1 : i+1]})
	}
	results, err := s.AppendAll(ctx, batches)
	for i := range results {
		if err == nil {
			err = results[i].Err
		}
	}
	return err
}

// member reads one of the streams.
func (s fileStore) member(ctx context.Context, stream int) error {
	n := 0
	for r, err := range s.Read(ctx, backend.Query{Stream: crowdName(stream)}) {
		if err != nil {
			return err
		}
		if n++; string(r.Payload) != crowdPayload || r.Version != 1 {
			return fmt.Errorf("stream %s: version %d says %q", r.Stream, r.Version, r.Payload)
		}
	}
	if n != 1 {
		return fmt.Errorf("stream %s: %d events, want 1", crowdName(stream), n)
	}
	return nil
}
