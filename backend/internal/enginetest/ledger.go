package enginetest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// A child appends as fast as it can and reports each acknowledgement through a pipe; the
// parent ends it at a random moment, opens the store and compares it with what it was told.

const (
	streams     = 16
	mostRecords = 5                    // in a batch
	ledgerIn    = "PAPYRA_LEDGER_DIR"  // set: this process is the child, and its store is there
	dies        = "PAPYRA_LEDGER_DIES" // set: its disk will fail, and it ends then
)

// ack is what the child says of one record that was acknowledged:
//
//	 0  stream u16
//	 2  version u64
//	10  number u64
//	18  at i64           the monotonic clock's nanoseconds
type ack struct {
	stream          uint16
	version, number uint64
	at              int64
}

const ackSize = 26

func (a ack) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, a.stream)
	b = binary.BigEndian.AppendUint64(b, a.version)
	b = binary.BigEndian.AppendUint64(b, a.number)
	return binary.BigEndian.AppendUint64(b, uint64(a.at))
}

func readAck(r io.Reader) (a ack, err error) {
	var b [ackSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return a, err
	}
	return ack{binary.BigEndian.Uint16(b[:]), binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:]), int64(binary.BigEndian.Uint64(b[18:]))}, nil
}

// Child appends until it is killed, in a process that was started for it; otherwise it does
// nothing.
func (e Engine) Child(t *testing.T) {
	dir := os.Getenv(ledgerIn)
	if dir == "" {
		return
	}
	b, err := e.Open(t.Context(), dir, nil)
	if err != nil {
		ended(err)
	}
	var out sync.Mutex
	fmt.Println("ready")
	for w := range streams {
		go appendForever(b, w, &out)
	}
	select {} // until killed
}

// ended ends the child because of an error, which is none if its disk was to fail.
func ended(err error) {
	if os.Getenv(dies) != "" {
		os.Exit(0)
	}
	panic(err)
}

// appendForever appends batches of one to five records to stream w. Each payload begins
// with a number that no other has.
func appendForever(b *backend.Backend, w int, out *sync.Mutex) {
	rng := rand.New(rand.NewPCG(uint64(w), uint64(time.Now().UnixNano())))
	stream := "s" + strconv.Itoa(w)
	h, err := b.Head(context.Background(), stream)
	if err != nil {
		ended(err)
	}
	version := h.Version
	for {
		records := make([]backend.Record, 1+rng.IntN(mostRecords))
		acks := make([]ack, len(records))
		for i := range records {
			acks[i] = ack{stream: uint16(w), version: uint64(version) + uint64(i) + 1, number: rng.Uint64()}
			payload := binary.BigEndian.AppendUint64(nil, acks[i].number)
			records[i] = backend.Record{Type: "n", Payload: append(payload, make([]byte, rng.IntN(600))...)}
		}
		res, err := b.Append(context.Background(), backend.Batch{Stream: stream, Expected: version, Records: records})
		if err != nil {
			ended(err)
		}
		version = res.Version
		var told []byte
		now := machine.Clock()
		for _, a := range acks {
			a.at = now
			told = a.append(told)
		}
		out.Lock()
		os.Stdout.Write(told)
		out.Unlock()
	}
}

// ledger is what the parent was told.
type ledger struct {
	acked [streams]map[uint64]uint64 // version to number
	late  int                        // acknowledged after the power was cut
	// unseen is where a child stood that was killed, in versions that were acknowledged, if its
	// store was not checked since: what it was about to append may follow.
	unseen [streams]uint64
	killed bool // there is such a child
}

// newest is the highest version of a stream that was acknowledged.
func (l *ledger) newest(w int) (newest uint64) {
	for v := range l.acked[w] {
		newest = max(newest, v)
	}
	return newest
}

// inFlight reports whether a version may be there that was not acknowledged, though later ones
// were.
func (l *ledger) inFlight(w int, version uint64) bool {
	return l.killed && version > l.unseen[w] && version <= l.unseen[w]+mostRecords
}

func (l *ledger) total() (n int) {
	for _, s := range l.acked {
		n += len(s)
	}
	return n
}

func (l *ledger) take(a ack) {
	if l.acked[a.stream] == nil {
		l.acked[a.stream] = map[uint64]uint64{}
	}
	l.acked[a.stream][a.version] = a.number
}

// child is the other process.
type child struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	open bool // it has said that it has opened the store
}

// start runs this test binary again on a store, and waits until it is open.
func start(t *testing.T, dir string, env ...string) *child {
	t.Helper()
	c := begin(t, dir, env...)
	if err := c.ready(); err != nil {
		c.kill()
		t.Fatal(err)
	}
	return c
}

// begin runs this test binary again on a store.
func begin(t *testing.T, dir string, env ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLedgerChild$")
	cmd.Env = append(append(os.Environ(), ledgerIn+"="+dir), env...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd: cmd, out: bufio.NewReader(pipe)}
}

// ready waits until the child has opened the store.
func (c *child) ready() error {
	if line, err := c.out.ReadString('\n'); err != nil || line != "ready\n" {
		return fmt.Errorf("the child said %q, %v", line, err)
	}
	c.open = true
	return nil
}

// kill kills the child and waits for its end.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// kill runs a child on the store for so long after it is ready, and writes down what
// it acknowledges.
func (l *ledger) kill(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	c := start(t, dir)
	defer c.kill()
	timer := time.AfterFunc(after, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	l.listen(c, func() int64 { return math.MaxInt64 })
	l.killed = true
	for w := range streams {
		l.unseen[w] = l.newest(w)
	}
}

// listen writes down what a child acknowledges, until it ends. What it acknowledged after the
// power was cut is not known to be there: no real power cut is followed by an
// acknowledgement, but while FS_IOC_SHUTDOWN aborts ext4's journal, an fsync that waits
// for a commit may find it gone, and return without an error.
func (l *ledger) listen(c *child, cut func() int64) {
	if !c.open && c.ready() != nil {
		return
	}
	for {
		a, err := readAck(c.out)
		if err != nil {
			return
		}
		if a.at >= cut() {
			l.late++
			continue
		}
		l.take(a)
	}
}

// check opens the store as the next start would and compares. What is there and was
// not acknowledged must be whole batches at the streams' ends; it is taken into the
// ledger, because it is there to stay. It returns how many records those are.
func (l *ledger) check(t *testing.T, e Engine, dir string) (unknown int) {
	t.Helper()
	b, err := e.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for w := range streams {
		unknown += l.checkStream(t, b, w)
	}
	l.killed = false
	report, err := b.Scan(t.Context(), nil)
	if err != nil || !report.Clean() {
		t.Errorf("scan: %v, %v", report.Anomalies, err)
	}
	return unknown
}

func (l *ledger) checkStream(t *testing.T, b *backend.Backend, w int) (unknown int) {
	stream, version := "s"+strconv.Itoa(w), uint64(0)
	newest := l.newest(w)
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
		case !acked && version < newest && !l.inFlight(w, version):
			t.Errorf("%s version %d is there, was not acknowledged, and newer ones were", stream, version)
		case !acked:
			unknown++
			l.take(ack{stream: uint16(w), version: version, number: number})
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
