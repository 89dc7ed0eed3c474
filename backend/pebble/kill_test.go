package pebble_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/pebble"
)

// The ledger test: a child appends as fast as it can and reports each
// acknowledgement through a pipe; the parent kills it with SIGKILL at a random
// moment, opens the store and compares it with what it was told, again and again on
// the same store.

const (
	killStreams = 16
	killDir     = "PAPYRA_KILL_DIR" // set: this process is the child
	longRun     = "PAPYRA_LONG"     // set: make crash
	killAckSize = 2 + 8 + 8
)

func TestKillAcknowledgedSurvives(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	if os.Getenv(longRun) != "" {
		rounds = 1000
	}
	dir := t.TempDir() + "/store"
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	var l ledger
	unknown := 0
	for round := range rounds {
		l.killed(t, dir, time.Duration(1+rng.IntN(40))*time.Millisecond)
		unknown += l.check(t, dir)
		if t.Failed() {
			t.Fatalf("after %d kills", round+1)
		}
	}
	acked := 0
	for _, s := range l.acked {
		acked += len(s)
	}
	if acked < rounds {
		t.Errorf("only %d records were acknowledged in %d rounds: the test tested nothing", acked, rounds)
	}
	t.Logf("%d kills, %d records acknowledged and all there, %d stored whose acknowledgement the kill cut off", rounds, acked, unknown)
}

// TestKillChild is the child; run by itself it does nothing.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	b, err := pebble.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex
	fmt.Println("ready")
	for w := range killStreams {
		go appendForever(t, b, w, &out)
	}
	select {} // until killed
}

// appendForever appends batches of one to five records to stream w. Each payload begins
// with a number that no other has.
func appendForever(t *testing.T, b *backend.Backend, w int, out *sync.Mutex) {
	rng := rand.New(rand.NewPCG(uint64(w), uint64(time.Now().UnixNano())))
	stream := "s" + strconv.Itoa(w)
	h, err := b.Head(context.Background(), stream)
	if err != nil {
		panic(err)
	}
	version := h.Version
	for {
		records := make([]backend.Record, 1+rng.IntN(5))
		var acks []byte
		for i := range records {
			number := rng.Uint64()
			payload := binary.BigEndian.AppendUint64(nil, number)
			records[i] = backend.Record{Type: "n", Payload: append(payload, make([]byte, rng.IntN(600))...)}
			acks = binary.BigEndian.AppendUint16(acks, uint16(w))
			acks = binary.BigEndian.AppendUint64(acks, uint64(version)+uint64(i)+1)
			acks = binary.BigEndian.AppendUint64(acks, number)
		}
		res, err := b.Append(context.Background(), backend.Batch{Stream: stream, Expected: version, Records: records})
		if err != nil {
			panic(err)
		}
		version = res.Version
		out.Lock()
		os.Stdout.Write(acks)
		out.Unlock()
	}
}

// ledger is what the parent was told.
type ledger struct {
	acked [killStreams]map[uint64]uint64 // version to number
}

// killed runs a child on the store for so long after it is ready, and writes down what
// it acknowledges.
func (l *ledger) killed(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	in := bufio.NewReader(pipe)
	if line, err := in.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	defer timer.Stop()
	for {
		var ack [killAckSize]byte
		if _, err := io.ReadFull(in, ack[:]); err != nil {
			return
		}
		w := binary.BigEndian.Uint16(ack[:])
		if l.acked[w] == nil {
			l.acked[w] = map[uint64]uint64{}
		}
		l.acked[w][binary.BigEndian.Uint64(ack[2:])] = binary.BigEndian.Uint64(ack[10:])
	}
}

// check opens the store as the next start would and compares. What is there and was
// not acknowledged must be whole batches at the streams' ends; it is taken into the
// ledger, because it is there to stay. It returns how many records those are.
func (l *ledger) check(t *testing.T, dir string) (unknown int) {
	t.Helper()
	b, err := pebble.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for w := range killStreams {
		unknown += l.checkStream(t, b, w)
	}
	report, err := b.Scan(t.Context(), nil)
	if err != nil || !report.Clean() {
		t.Errorf("scan after the kill: %v, %v", report.Anomalies, err)
	}
	return unknown
}

func (l *ledger) checkStream(t *testing.T, b *backend.Backend, w int) (unknown int) {
	stream, version := "s"+strconv.Itoa(w), uint64(0)
	newest := uint64(0)
	for v := range l.acked[w] {
		newest = max(newest, v)
	}
	for r, err := range b.Read(t.Context(), backend.Query{Stream: stream}) {
		if err != nil {
			t.Error(err)
			return
		}
		version++
		number := binary.BigEndian.Uint64(r.Payload)
		want, acked := l.acked[w][version]
		switch {
		case uint64(r.Version) != version:
			t.Errorf("%s: version %d follows %d", stream, r.Version, version-1)
		case acked && number != want:
			t.Errorf("%s version %d holds %x, acknowledged was %x", stream, version, number, want)
		case !acked && version < newest:
			t.Errorf("%s version %d is there, was not acknowledged, and newer ones were", stream, version)
		case !acked:
			unknown++
			if l.acked[w] == nil {
				l.acked[w] = map[uint64]uint64{}
			}
			l.acked[w][version] = number
		}
	}
	if int(version) != len(l.acked[w]) {
		lost := slices.Sorted(func(yield func(uint64) bool) {
			for v := range l.acked[w] {
				if v > version && !yield(v) {
					return
				}
			}
		})
		t.Errorf("%s holds %d records, acknowledged were %d: lost versions %v", stream, version, len(l.acked[w]), lost)
	}
	return unknown
}

// Another process that holds the store is named, and lets go when it is killed.
func TestAnotherProcessIsNamed(t *testing.T) {
	dir := t.TempDir() + "/store"
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(pipe)
	if line, err := in.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	go io.Copy(io.Discard, in)
	for _, readOnly := range []bool{false, true} {
		_, err := pebble.Open(t.Context(), dir, &pebble.Options{Options: backend.Options{ReadOnly: readOnly}})
		if !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	b, err := pebble.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
