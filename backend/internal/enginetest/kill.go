package enginetest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// killsOnAStore is how often one store is used on: each check reads all that is in it.
const killsOnAStore = 100

// SurvivesKills kills a process that appends with SIGKILL at a random moment, again and again
// on the same store, which must hold all that was acknowledged.
func (e Engine) SurvivesKills(t *testing.T, rounds int) {
	unknown, acked := 0, 0
	for done := 0; done < rounds; done += killsOnAStore {
		u, a := e.survivesKills(t, min(killsOnAStore, rounds-done))
		unknown, acked = unknown+u, acked+a
	}
	if acked < rounds {
		t.Errorf("only %d records were acknowledged in %d rounds: the test tested nothing", acked, rounds)
	}
	t.Logf("attack: %s, SIGKILL under load: %d kills, %d records acknowledged and all there, %d stored whose acknowledgement the kill cut off", e.Name, rounds, acked, unknown)
}

// survivesKills is a store's life.
func (e Engine) survivesKills(t *testing.T, rounds int) (unknown, acked int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	var l ledger
	for round := range rounds {
		l.kill(t, dir, time.Duration(1+rng.IntN(40))*time.Millisecond)
		unknown += l.check(t, e, dir)
		if t.Failed() {
			t.Fatalf("after %d kills", round+1)
		}
	}
	return unknown, l.total()
}

// NamesAnotherProcess looks that another process that holds the store is named, and that it
// lets go when it is killed.
func (e Engine) NamesAnotherProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	c := start(t, dir)
	go io.Copy(io.Discard, c.out)
	for _, readOnly := range []bool{false, true} {
		_, err := e.Open(t.Context(), dir, &backend.Options{ReadOnly: readOnly})
		if !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", c.cmd.Process.Pid)) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
	c.kill()
	b, err := e.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
