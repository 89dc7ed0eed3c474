package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// BenchmarkProbe is what the disk allows: 4 KiB written over written blocks, and synced.
func BenchmarkProbe(b *testing.B) {
	dir, err := disk.OpenDir(b.TempDir(), false)
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	f, err := dir.Open("probe", os.O_RDWR|os.O_CREATE)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const size = 16 << 20
	if _, err := f.WriteAt(make([]byte, size), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	page := make([]byte, 4096)
	at := int64(0)
	for b.Loop() {
		if _, err := f.WriteAt(page, at%size); err != nil {
			b.Fatal(err)
		}
		if err := f.Datasync(); err != nil {
			b.Fatal(err)
		}
		at += 4096
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkAppend appends single events of 256 bytes to 10,000 streams, durably.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := Open(context.Background(), filepath.Join(b.TempDir(), "store"), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			names := make([]string, 10_000)
			for i := range names {
				names[i] = fmt.Sprintf("stream-%05d", i)
			}
			var next atomic.Int64
			payload := make([]byte, 256)
			b.ReportAllocs()
			b.SetParallelism(max(1, writers/2))
			one := func(n int64) {
				batch := backend.Batch{Stream: names[n%10_000], Expected: backend.Any, Records: []backend.Record{{Kind: backend.Event, Type: "t", Payload: payload}}}
				if _, err := s.Append(context.Background(), batch); err != nil {
					b.Error(err)
				}
			}
			if writers == 1 {
				for b.Loop() {
					one(next.Add(1))
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						one(next.Add(1))
					}
				})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(b.N)/float64(max(1, stat(b, s, "syncs"))), "appends/sync")
		})
	}
}

// BenchmarkReplay reads the whole store, and one stream.
func BenchmarkReplay(b *testing.B) {
	s, err := Open(context.Background(), filepath.Join(b.TempDir(), "store"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const records = 200_000
	batch := backend.Batch{Expected: backend.Any}
	for range 1000 {
		batch.Records = append(batch.Records, backend.Record{Type: "t", Payload: make([]byte, 256)})
	}
	for i := range records / 1000 {
		batch.Stream = fmt.Sprint("stream", i%50)
		if _, err := s.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]backend.Query{"log": {}, "stream": {Stream: "stream7"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for _, err := range s.Read(context.Background(), q) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkPack packs what 64 writers would leave: single events over 10,000 streams.
func BenchmarkPack(b *testing.B) {
	ctx := context.Background()
	dir, err := disk.OpenDir(b.TempDir(), true)
	if err != nil {
		b.Fatal(err)
	}
	s, opened := openInside(b, dir, &Options{keepLog: true})
	const records, group = 100_000, 50
	payload := make([]byte, 256)
	for i := 0; i < records; i += group {
		batches := make([]backend.Batch, group)
		for j := range batches {
			batches[j] = backend.Batch{Stream: fmt.Sprintf("account/%d", (i+j)*7919%10_000), Expected: backend.Any, Records: []backend.Record{{Type: "deposited", Payload: payload}}}
		}
		if _, err := opened.AppendAll(ctx, batches); err != nil {
			b.Fatal(err)
		}
	}
	v := s.pin()
	defer s.unpin(v)
	b.ReportAllocs()
	for b.Loop() {
		p := s.packSegments(ctx, v, len(v.segments))
		if err := p.run(); err != nil {
			b.Fatal(err)
		}
		if err := s.dir.Rename(p.name()+tmpSuffix, p.name()); err != nil {
			b.Fatal(err)
		}
		sp := s.newSpan(p.info)
		if err := sp.readsBack(ctx, s.codec); err != nil {
			b.Fatal(err)
		}
		if err := sp.close(); err != nil {
			b.Fatal(err)
		}
		if err := s.dir.Remove(sp.name); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
}

// BenchmarkSpans reads a store of a million events of 256 bytes that lie between each
// other's in 10,000 streams, packed: all of it, 100 records somewhere, and single streams.
func BenchmarkSpans(b *testing.B) {
	ctx, dir := context.Background(), filepath.Join(b.TempDir(), "store")
	s := fillSpans(b, dir)
	defer func() { s.Close() }()
	read := func(b *testing.B, q backend.Query, want int) {
		b.Helper()
		n, sum := 0, byte(0)
		for r, err := range s.Read(ctx, q) {
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; i < len(r.Payload); i += 64 {
				sum += r.Payload[i]
			}
			n++
		}
		if n != want || sum != 0 {
			b.Fatalf("%d records with a sum of %d, want %d", n, sum, want)
		}
	}
	b.Run("replay", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			read(b, backend.Query{}, spansRecords)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/spansRecords, "ns/record")
	})
	b.Run("100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			read(b, backend.Query{From: spansRecords / 2, Limit: 100}, 100)
		}
	})
	b.Run("100 cold", func(b *testing.B) { // each time out of another span than the last four
		for i := uint64(0); b.Loop(); i++ {
			read(b, backend.Query{From: 1 + i*(spansRecords/5+1000)%(spansRecords-100), Limit: 100}, 100)
		}
	})
	b.Run("stream", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			read(b, backend.Query{Stream: fmt.Sprintf("account/%d", i*7919%spansStreams)}, spansRecords/spansStreams)
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			var err error
			if s, err = Open(ctx, dir, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

const (
	spansRecords = 1_000_000
	spansStreams = 10_000
)

func fillSpans(b *testing.B, dir string) *backend.Backend {
	b.Helper()
	ctx := context.Background()
	s, err := Open(ctx, dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	batches := make([]backend.Batch, 1000)
	for i := range spansRecords {
		batches[i%1000] = backend.Batch{Stream: fmt.Sprintf("account/%d", i%spansStreams), Expected: backend.Any,
			Records: []backend.Record{{Kind: backend.Event, Type: "deposited", Payload: make([]byte, 256)}}}
		if i%1000 < 999 {
			continue
		}
		if _, err := s.AppendAll(ctx, batches); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.Compact(ctx, backend.Cut{}); err != nil {
		b.Fatal(err)
	}
	return s
}
