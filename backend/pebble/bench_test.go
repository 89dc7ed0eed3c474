package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend"
)

// The benchmarks do the same work through papyra and with pebble alone: single events of 256
// bytes to 10,000 streams, each durable when it is acknowledged, by so many writers. Alone means:
// one key of stream and number a Set with Sync, no record of where a stream stands, no place in
// the store's order, no checksum.
const benchStreams = 10_000

func benchNames() (names [benchStreams]string) {
	for i := range names {
		names[i] = fmt.Sprintf("stream-%05d", i)
	}
	return names
}

// share has so many writers do b.N things.
func share(b *testing.B, writers int, one func(n int64)) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				one(n)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

func BenchmarkAppend(b *testing.B) {
	payload, names := make([]byte, 256), benchNames()
	for _, writers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("papyra/writers=%d", writers), func(b *testing.B) {
			s, err := Open(context.Background(), filepath.Join(b.TempDir(), "store"), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			share(b, writers, func(n int64) {
				batch := backend.Batch{Stream: names[n%benchStreams], Expected: backend.Any, Records: []backend.Record{{Type: "t", Payload: payload}}}
				if _, err := s.Append(context.Background(), batch); err != nil {
					b.Error(err)
				}
			})
		})
		b.Run(fmt.Sprintf("pebble/writers=%d", writers), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), &pebble.Options{FormatMajorVersion: formatVersion, MemTableSize: DefaultMemTableBytes, Logger: quiet{}})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			share(b, writers, func(n int64) {
				key := binary.BigEndian.AppendUint64([]byte(names[n%benchStreams]), uint64(n))
				if err := db.Set(key, payload, pebble.Sync); err != nil {
					b.Error(err)
				}
			})
		})
	}
}
