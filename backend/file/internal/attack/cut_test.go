//go:build linux

package attack_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// TestACutOnAFullDiskGivesRoomBack fills a tmpfs to the last byte with a store of several
// spans, deletes half of its streams, and compacts it there.
func TestACutOnAFullDiskGivesRoomBack(t *testing.T) {
	machine.NeedRoot(t)
	disk := machine.Tmpfs(t, 32<<20)
	dir := filepath.Join(disk, "store")
	payload := bytes.Repeat([]byte("0123456789abcdef"), 256)
	want := map[string]int{}
	record := func(b *backend.Backend, i int) error {
		name := fmt.Sprintf("stream-%d", i%8)
		_, err := b.Append(t.Context(), backend.Batch{Stream: name, Expected: backend.Any, Records: []backend.Record{{Payload: payload}, {Payload: payload}}})
		if err == nil {
			want[name] += 2
		}
		return err
	}
	for range 16 { // each time closing packs what was appended
		b := open(t, dir, &file.Options{})
		for i := range 160 {
			if err := record(b, i); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, b)
	}
	b := open(t, dir, &file.Options{})
	if err := machine.Stuff(filepath.Join(disk, "stuffing")); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if err := record(b, i); errors.Is(err, backend.ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	before := taken(t, dir)
	var cut backend.Cut
	for i := range 4 {
		cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: fmt.Sprintf("stream-%d", 2*i), Delete: true})
		want[cut.Floors[i].Stream] = 0
	}
	if _, err := b.Compact(t.Context(), cut); err != nil {
		t.Fatalf("compact on a full disk: %v; the store is %s", err, keep(t, dir))
	}
	after := taken(t, dir)
	if after > before/10*7 {
		t.Errorf("the store had %d bytes, and has %d", before, after)
	}
	if err := record(b, 1); err != nil {
		t.Errorf("an append after the cut: %v", err)
	}
	mustClose(t, b)
	b = open(t, dir, &file.Options{})
	for name, n := range want {
		got := 0
		for _, err := range b.Read(t.Context(), backend.Query{Stream: name}) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != n {
			t.Errorf("%s has %d records, want %d", name, got, n)
		}
	}
	if report, err := b.Scan(t.Context(), nil); err != nil || !report.Clean() {
		t.Errorf("%v: %v", err, report.Anomalies)
	}
	t.Logf("attack: cut on a full disk: 1 rounds, %d KiB before, %d KiB after", before>>10, after>>10)
}

// taken is how many bytes of the disk a store's files take.
func taken(t *testing.T, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
