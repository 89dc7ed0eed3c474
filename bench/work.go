package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
)

const (
	payloadBytes = 256
	// maxStreams is how many streams any row has.
	maxStreams = 100_000
	// loadBatch is how many events are written together when a store is filled.
	loadBatch = 10_000
)

// An event is one to be stored: number seq, from 1 on, of its stream.
type event struct {
	stream  int
	seq     uint64
	payload []byte
}

// pool is what payloads are windows of: random, so that nothing compresses, and large,
// so that windows of neighbouring events seldom overlap.
var pool = func() []byte {
	b := make([]byte, 4<<20)
	r := rand.NewChaCha8([32]byte{})
	r.Read(b)
	return b
}()

// makeEvent makes the event that a stream has under a number: always the same, so that
// whoever reads it back can tell whether it is.
func makeEvent(stream int, seq uint64) event {
	x := (uint64(stream)<<32 ^ seq) * 0x9e3779b97f4a7c15
	at := (x >> 32) % uint64(len(pool)-payloadBytes)
	return event{stream, seq, pool[at : at+payloadBytes : at+payloadBytes]}
}

// tally is a count of events and a sum over every byte of their payloads, whatever their
// order. A reader that makes one has touched all that it was handed.
type tally struct {
	events int64
	sum    uint64
}

func (t *tally) add(payload []byte) {
	var a, b, c, d uint64
	for ; len(payload) >= 32; payload = payload[32:] {
		a += binary.LittleEndian.Uint64(payload)
		b += binary.LittleEndian.Uint64(payload[8:])
		c += binary.LittleEndian.Uint64(payload[16:])
		d += binary.LittleEndian.Uint64(payload[24:])
	}
	for _, x := range payload {
		a += uint64(x)
	}
	t.events++
	t.sum += a + b + c + d
}

// heads are the streams' newest numbers: what was acknowledged. Each stream is written
// by one goroutine.
type heads []uint64

// next makes the next n events of a stream and counts them as written.
func (h heads) next(into []event, stream, n int) []event {
	for range n {
		h[stream]++
		into = append(into, makeEvent(stream, h[stream]))
	}
	return into
}

// tally is that of all events up to the heads.
func (h heads) tally() (t tally) {
	for stream := range h {
		t = h.add(t, stream)
	}
	return t
}

func (h heads) add(t tally, stream int) tally {
	for seq := range h[stream] {
		t.add(makeEvent(stream, seq+1).payload)
	}
	return t
}

// verify replays a store and reports whether it holds what was acknowledged, no more
// and no less.
func verify(ctx context.Context, s store, h heads) error {
	r, ok := s.(replayer)
	if !ok {
		return errors.New("it can't be read back")
	}
	var got tally
	if err := r.replay(ctx, got.add); err != nil {
		return err
	}
	return got.want(h.tally())
}

func (t tally) want(w tally) error {
	switch {
	case t.events != w.events:
		return fmt.Errorf("%d events read, want %d", t.events, w.events)
	case t.sum != w.sum:
		return fmt.Errorf("%d events read, not with the bytes that were written", t.events)
	}
	return nil
}

// fill writes perStream events into each of so many streams: in turns over each window
// of streams, so that those of a window lie between each other's, as they do when many
// streams are written at a time, and those of different windows do not, as streams that
// lived at different times.
func fill(ctx context.Context, s store, h heads, perStream, window int) error {
	write := s.(appender).writer()
	var events []event
	flush := func() error {
		defer func() { events = events[:0] }()
		if err := context.Cause(ctx); err != nil || len(events) == 0 {
			return err
		}
		return write(events)
	}
	for first := 0; first < len(h); first += window {
		for range perStream {
			for stream := first; stream < min(first+window, len(h)); stream++ {
				events = h.next(events, stream, 1)
				if len(events) == loadBatch {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		}
	}
	return flush()
}

func (h heads) events() (n uint64) {
	for _, head := range h {
		n += head
	}
	return n
}
