package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend/internal/machine"
)

const volumeBytes = 192 << 20

// SurvivesPowerCuts cuts the power of a real file system, at a random moment, under a child
// that appends: ext4 keeps what was synced, and perhaps some of the rest. What is left is
// mounted again and compared with what was acknowledged. Each second cut is followed by
// another while a store that was not closed is being opened, or just has been.
func (e Engine) SurvivesPowerCuts(t *testing.T, rounds int) {
	machine.NeedLoop(t)
	for _, how := range []struct {
		name, options string
		mkfs          []string
	}{
		{"ordered; commits are rare", "data=ordered,commit=1000", nil},
		{"writeback; small blocks", "data=writeback,commit=1000", []string{"-b", "1024"}},
		{"journalled", "data=journal", []string{"-b", "4096"}},
	} {
		t.Run(how.name, func(t *testing.T) {
			p := &powered{t: t, e: e, v: machine.NewVolume(t, machine.Tmpfs(t, 3*volumeBytes), volumeBytes, how.options, how.mkfs...)}
			p.begin()
			for round := range (rounds + 2) / 3 {
				if machine.Free(t, p.v.Dir) < volumeBytes/2 || round%4 == 3 { // a young store has more of its first moments
					p.begin()
				}
				p.underAppends()
				if round%2 == 1 {
					p.underOpening()
				}
				if t.Failed() {
					t.Fatalf("after %d cuts", p.cuts)
				}
			}
			p.report(how.name)
		})
	}
}

// powered is a store on a file system whose power can be cut.
type powered struct {
	t                    *testing.T
	e                    Engine
	v                    *machine.Volume
	dir                  string // the store
	l                    ledger
	cuts, stores         int
	acked, unknown, late int
}

// begin goes on with a new store.
func (p *powered) begin() {
	p.acked, p.late = p.acked+p.l.total(), p.late+p.l.late
	if p.stores > 0 {
		if err := os.RemoveAll(p.dir); err != nil {
			p.t.Fatal(err)
		}
	}
	p.stores++
	p.dir, p.l = filepath.Join(p.v.Dir, fmt.Sprintf("store-%d", p.stores)), ledger{}
}

// cutAfter cuts the power while a child runs, and ends it. What is under way then fails, and
// must not be acknowledged.
func (p *powered) cutAfter(c *child, after time.Duration) {
	p.t.Helper()
	var at atomic.Int64
	at.Store(math.MaxInt64)
	cut := make(chan struct{})
	time.AfterFunc(after, func() {
		defer close(cut)
		at.Store(machine.Clock())
		p.v.Cut()
		time.Sleep(2 * time.Millisecond)
		_ = c.cmd.Process.Kill()
	})
	p.l.listen(c, at.Load)
	if at.Load() == math.MaxInt64 {
		p.t.Error("the child ended before the power was cut")
	}
	<-cut
	c.kill()
	p.cuts++
	p.v.Umount()
	p.v.Mount()
	p.unknown += p.l.check(p.t, p.e, p.dir)
}

func (p *powered) underAppends() {
	p.t.Helper()
	p.cutAfter(start(p.t, p.dir, dies+"=1"), time.Duration(rand.IntN(120_000))*time.Microsecond)
}

// underOpening cuts the power while a child begins that finds what another has left, or soon
// after.
func (p *powered) underOpening() {
	p.t.Helper()
	p.l.kill(p.t, p.dir, time.Duration(1+rand.IntN(20))*time.Millisecond)
	p.cutAfter(begin(p.t, p.dir, dies+"=1"), time.Duration(rand.IntN(60_000))*time.Microsecond)
}

func (p *powered) report(name string) {
	p.begin()
	if p.acked == 0 {
		p.t.Error("nothing was acknowledged: the test tested nothing")
	}
	p.t.Logf("attack: %s, power cut (%s): %d cuts, %d records acknowledged and all there, %d stored whose acknowledgement the cut took, %d acknowledged during a cut, %d stores", p.e.Name, name, p.cuts, p.acked, p.unknown, p.late, p.stores-1)
}
