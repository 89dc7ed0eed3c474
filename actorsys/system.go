package actorsys

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// System runs actors over one backend. It is safe for concurrent use.
type System struct {
	cfg     Config
	limits  backend.Limits
	startup *backend.StartupReport

	ctx        context.Context // ends when the system is gone
	kill       context.CancelFunc
	killed     <-chan struct{} // of ctx
	work       work
	graveyard  sync.WaitGroup // the lane of dead letters
	lanes      sync.WaitGroup // of facts and snapshots
	goroutines sync.WaitGroup // the others, but for After's
	stopping   atomic.Bool    // Shutdown was called
	stopped    chan struct{}  // closed when it has done its work
	stopResult error          // of Shutdown

	commit    committer
	heal      healer
	truncator truncator
	runners   runners
	permits   permits
	budget    budget
	graves    *lane[body]
	dead      dead
	news      news
	facts     *lane[backend.Record]
	snapshots *lane[*picture]

	alive        atomic.Int64  // actors with a state
	registered   atomic.Int64  // actors in the kinds' registries
	tellsDropped atomic.Uint64 // gated messages that were lost

	told  atomic.Int64 // messages that nobody waits for, in mailboxes
	names registry
	top   branch // plain actors without a parent

	mu sync.Mutex // guards the beginning of goroutines against kill
}

// Start checks the store as cfg.Startup says and starts a system over it, which no
// actor can join before. The backend's [backend.StartupError] comes back if the store
// is refused; [backend.ErrInvalid] if the configuration is.
func Start(ctx context.Context, cfg Config) (*System, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("starting actor system: %w", err)
	}
	report, err := cfg.Backend.Check(ctx, cfg.Startup)
	if err != nil {
		return nil, fmt.Errorf("starting actor system %q: %w", cfg.Name, err)
	}
	s := &System{
		cfg:       cfg,
		limits:    cfg.Backend.Limits(),
		startup:   report,
		stopped:   make(chan struct{}),
		work:      work{idle: make(chan struct{}, 1)},
		permits:   permits{free: cfg.MaxRecoveries},
		facts:     newLane[backend.Record](factsBytes, nil),
		snapshots: newLane(snapshotsWaiting, func(p *picture) string { return p.record.Stream }),
		graves:    newLane[body](deadLettersWaiting, nil),
		budget:    budget{most: int64(cfg.MaxPending)},
		names:     registry{named: map[string]resident{}},
	}
	s.ctx, s.kill = context.WithCancel(context.Background())
	s.killed = s.ctx.Done()
	s.commit = committer{sys: s, wake: make(chan struct{}, 1)}
	s.heal.sys = s
	s.truncator = truncator{sys: s, wake: make(chan struct{}, 1), due: map[string]floorOf{}}
	s.runners = runners{sys: s, next: make(chan runner)}
	s.goroutines.Go(s.commit.run)
	s.goroutines.Go(s.truncator.run)
	s.graveyard.Go(func() { s.graves.run(s.killed, s.buryAll) })
	s.lanes.Go(func() { s.facts.run(s.killed, s.storeFacts) })
	s.lanes.Go(func() { s.snapshots.run(s.killed, s.saveSnapshots) })
	s.note(FactsFailures, Fact{Type: systemStarted})
	return s, nil
}

// Name returns the system's name.
func (s *System) Name() string { return s.cfg.Name }

// StartupReport returns what the startup check found and did.
func (s *System) StartupReport() *backend.StartupReport { return s.startup }

// AliveActors returns how many actors have their state in memory; none once the
// system is gone.
func (s *System) AliveActors() int { return s.gauge(&s.alive) }

// RegistrySize returns how many actors are known in memory: those alive, and those
// that are being activated or were not able to be lately; none once the system is
// gone.
func (s *System) RegistrySize() int { return s.gauge(&s.registered) }

func (s *System) gauge(n *atomic.Int64) int {
	if s.isKilled() {
		return 0
	}
	return int(n.Load())
}

// Dropped returns how many things of the best-effort sort were lost: facts (dead
// letters and audits with them) and snapshots that found no room or could not be
// stored (not those that a newer one of the same actor took the place of), and
// messages of [Turn.Tell] that did not arrive in a mailbox.
func (s *System) Dropped() (facts, snapshots, tells uint64) {
	return s.facts.dropped.Load() + s.graves.dropped.Load(), s.snapshots.dropped.Load(), s.tellsDropped.Load()
}

// add makes a kind known and has its sweep called every so often, until the system is
// gone, and what runs besides once.
func (s *System) add(name string, kind resident, every time.Duration, sweep func(), also ...func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isKilled() {
		return ErrStopped
	}
	if err := s.names.add(name, kind); err != nil {
		return err
	}
	for _, f := range also {
		s.goroutines.Go(f)
	}
	if every > 0 {
		s.goroutines.Go(func() {
			for s.sleep(every) {
				sweep()
			}
		})
	}
	return nil
}

// now is the time that is recorded: UTC, and without the monotonic reading, so that
// it is the same when it is read back.
func (s *System) now() time.Time { return s.cfg.Clock().UTC().Round(0) }

// sleep waits so long and returns true, or false once the system is gone.
func (s *System) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return !s.isKilled()
	case <-s.killed:
		return false
	}
}

func (s *System) isKilled() bool {
	select {
	case <-s.killed:
		return true
	default:
		return false
	}
}
