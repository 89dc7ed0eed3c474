package actorsys

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// auditNames is how many addresses a report lists of each sort.
const auditNames = 100

// AuditReport is how a system's actors stand, as $sys/<name>/audit records it in JSON.
type AuditReport struct {
	Time       time.Time `json:"-"`
	System     string    `json:"system_id"`
	Total      int       `json:"total_actors"`      // in memory
	Alive      int       `json:"alive_actors"`      // with their state
	Stopping   int       `json:"stopping_actors"`   // on their way to stop
	Restarting int       `json:"restarting_actors"` // that wait to be started again, or replay

	RegistrySize    int      `json:"registry_size"`      // known by name; see RegistrySize
	RegistryOrphans []string `json:"registry_orphans"`   // children whose parent is not known; 100 at most
	RegistryDead    []string `json:"registry_dead"`      // known and not to be had: in quarantine; 100 at most
	DeadLetters     uint64   `json:"dead_letters_count"` // since the start
}

// ActorInfo is how one actor stands.
type ActorInfo struct {
	Address     string
	Name        string   // a durable actor's id
	Parent      string   // its address; empty: the system
	Children    []string // their addresses, sorted
	Alive       bool     // its state is in memory
	Stopping    bool
	Restarting  bool // it waits to be started again, or replays
	Quarantined bool // see ErrQuarantined
	Waiting     int  // messages in its mailbox
}

// Audit looks at every actor in memory and records and returns how they stand. The
// actors go on meanwhile. The error is the cause of ctx's end.
func (s *System) Audit(ctx context.Context) (AuditReport, error) {
	r := AuditReport{Time: s.now(), System: s.cfg.Name, RegistrySize: s.RegistrySize(), RegistryOrphans: []string{}, RegistryDead: []string{}, DeadLetters: s.dead.total()}
	for a := range s.Actors() {
		if ctx.Err() != nil {
			return AuditReport{}, context.Cause(ctx)
		}
		r.add(&a)
		if a.Parent != "" && len(r.RegistryOrphans) < auditNames && s.names.get(a.Parent) == nil && s.names.get(a.Address) != nil {
			r.RegistryOrphans = append(r.RegistryOrphans, a.Address)
		}
	}
	slices.Sort(r.RegistryOrphans)
	slices.Sort(r.RegistryDead)
	if s.cfg.Facts != FactsNone {
		s.store(backend.Audit, "audit", r.Time, r)
	}
	return r, nil
}

func (r *AuditReport) add(a *ActorInfo) {
	r.Total++
	for n, yes := range map[*int]bool{&r.Alive: a.Alive, &r.Stopping: a.Stopping, &r.Restarting: a.Restarting} {
		if yes {
			*n++
		}
	}
	if a.Quarantined && len(r.RegistryDead) < auditNames {
		r.RegistryDead = append(r.RegistryDead, a.Address)
	}
}

// Actors returns the actors in memory, as each stands when it is come to.
func (s *System) Actors() iter.Seq[ActorInfo] {
	return func(yield func(ActorInfo) bool) {
		for _, r := range s.names.all() {
			if !r.each(yield) {
				return
			}
		}
	}
}

// Info returns how the actor stands. A durable one that is not in memory is not alive.
func (r Ref[S]) Info() ActorInfo {
	if r.at == nil {
		return ActorInfo{}
	}
	info := ActorInfo{Address: r.String(), Name: r.id}
	if a := r.at.known(r.id); a != nil {
		info = a.info()
	}
	return info
}

func (a *actor[S]) known(string) *actor[S] { return a }

func (k *Kind[S]) known(id string) *actor[S] {
	sh := k.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.actors[id]
}

func (a *actor[S]) each(yield func(ActorInfo) bool) bool { return yield(a.info()) }

func (k *Kind[S]) each(yield func(ActorInfo) bool) bool {
	for a := range k.all() {
		if !yield(a.info()) {
			return false
		}
	}
	return true
}

// all returns the kind's actors in memory.
func (k *Kind[S]) all() iter.Seq[*actor[S]] {
	return func(yield func(*actor[S]) bool) {
		for i := range k.shards {
			sh := &k.shards[i]
			sh.mu.Lock()
			actors := slices.Collect(maps.Values(sh.actors))
			sh.mu.Unlock()
			for _, a := range actors {
				if !yield(a) {
					return
				}
			}
		}
	}
}

func (a *actor[S]) info() ActorInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := ActorInfo{Address: a.address, Name: a.id(), Alive: a.active, Waiting: a.mail.n}
	p := a.plain
	if p == nil {
		i.Quarantined = a.trouble != nil && a.trouble.err != nil
		i.Restarting = a.stale || a.running && !a.active && !i.Quarantined
		return i
	}
	i.Parent = strings.TrimSuffix(strings.TrimSuffix(a.address, i.Name), "/")
	i.Stopping = p.end != stays
	i.Restarting = !i.Stopping && (p.again || p.phase == pausing || p.phase == up && !a.active)
	for _, c := range p.children.all() {
		i.Children = append(i.Children, c.path())
	}
	slices.Sort(i.Children)
	return i
}
