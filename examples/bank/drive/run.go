package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// outcomeTimeout is how long after the load clients insist on their last outcomes, and
// auditTimeout how long the check may take.
const (
	outcomeTimeout = 20 * time.Second
	auditTimeout   = 40 * time.Second
)

// errTrouble: the table says what.
var errTrouble = errors.New("something was lost, invented, stuck or damaged: see the table")

// run is one build, load and check.
type run struct {
	config
	out      io.Writer
	seed     uint64
	name     string // begins all accounts and operations: a store may hold other runs'
	dir      string // the temporary folder
	program  string
	log      *os.File // of the bank
	child    *child
	target   *target
	accounts []string
	clients  []*client
	acked    atomic.Int64
	killed   atomic.Int64
	restarts []*serving
	started  time.Time
	report   report
}

// all does as many runs as were asked for. The first that fails is the last.
func (c *config) all(ctx context.Context, out io.Writer) error {
	for n := range c.runs {
		r := &run{config: *c, out: out, seed: c.seed + uint64(n)}
		if c.seed == 0 {
			r.seed = rand.Uint64N(1 << 32)
		}
		if err := r.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// do is one run, in a folder of its own, which stays if something was found.
func (r *run) do(ctx context.Context) (err error) {
	if r.dir, err = os.MkdirTemp("", "papyra-bank-"); err != nil {
		return err
	}
	defer func() {
		if r.keep || err != nil && ctx.Err() == nil {
			fmt.Fprintf(r.out, "kept: %s\n", r.dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(r.dir))
	}()
	if r.log, err = os.Create(filepath.Join(r.dir, "bank.log")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.log.Close()) }()
	r.program = filepath.Join(r.dir, "bank")
	if !strings.Contains(r.store, ":") { // an engine's name
		r.store += "://" + filepath.ToSlash(filepath.Join(r.dir, "store"))
	}
	if err := build(ctx, r.program); err != nil {
		return err
	}
	if r.child, err = start(ctx, r.program, r.store, r.addr(), r.log); err != nil {
		return fmt.Errorf("%w: %s", err, r.lastLog())
	}
	defer func() { r.child.kill() }()
	return r.drive(ctx)
}

// drive puts the bank under load, kills it, and checks it.
func (r *run) drive(ctx context.Context) error {
	r.prepare()
	if err := r.openAccounts(ctx); err != nil {
		return err
	}
	stop := r.progress()
	err := r.underLoad(ctx)
	if err == nil {
		err = r.audit(ctx)
	}
	stop()
	if err != nil {
		return err
	}
	if r.serve {
		if err := r.leaveServing(ctx); err != nil {
			return err
		}
		ctx = context.WithoutCancel(ctx) // it has ended as it should
	}
	if err := r.child.stop(); err != nil {
		return fmt.Errorf("%w: %s", err, r.lastLog())
	}
	return r.finish(ctx)
}

// finish scans the store and prints the table.
func (r *run) finish(ctx context.Context) error {
	if err := r.scan(ctx); err != nil {
		return err
	}
	if err := r.table(); err != nil {
		return err
	}
	if !r.report.fine() {
		return errTrouble
	}
	return nil
}

// prepare makes the clients.
func (r *run) prepare() {
	r.name = "r" + strconv.FormatInt(time.Now().UnixNano(), 36)
	r.target = newTarget(r.config.clients)
	r.target.serve(r.child)
	for i := range r.config.accounts {
		r.accounts = append(r.accounts, fmt.Sprintf("%s-a%d", r.name, i))
	}
	for i := range r.config.clients {
		r.clients = append(r.clients, &client{
			target: r.target, accounts: r.accounts, acked: &r.acked,
			name: fmt.Sprintf("%s-c%d", r.name, i), rand: rand.New(rand.NewPCG(r.seed, uint64(i))),
		})
	}
}

func (r *run) openAccounts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	for _, a := range r.accounts {
		reply, _, err := r.target.insist(ctx, http.MethodPut, "/accounts/"+a, nil)
		if err != nil {
			return err
		}
		if reply.status != http.StatusOK {
			return fmt.Errorf("opening account %s: status %d %.200s", a, reply.status, reply.body)
		}
	}
	return nil
}

// underLoad lets the clients work, and kills and restarts the bank meanwhile.
func (r *run) underLoad(ctx context.Context) error {
	r.started = time.Now()
	until := r.started.Add(r.load)
	insisting, cancel := context.WithDeadline(ctx, until.Add(outcomeTimeout))
	defer cancel()
	var wait sync.WaitGroup
	for _, c := range r.clients {
		wait.Go(func() { c.work(insisting, until) })
	}
	err := r.killings(ctx)
	if err != nil {
		cancel() // nobody will answer
	}
	wait.Wait()
	r.report.took = time.Since(r.started)
	return firstOf(err, ctx.Err())
}

// killings kills the bank at random moments, one in each part of the load.
func (r *run) killings(ctx context.Context) error {
	random := rand.New(rand.NewPCG(r.seed, 1<<32))
	for n := range r.kills {
		part := r.load / time.Duration(r.kills)
		at := time.Duration(n)*part + time.Duration((0.15+0.7*random.Float64())*float64(part))
		select {
		case <-time.After(time.Until(r.started.Add(at))):
		case <-r.child.ended:
			return fmt.Errorf("the bank ended by itself: %v: %s", r.child.result, r.lastLog())
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := r.killOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// killOnce kills the bank with SIGKILL and starts it again at once.
func (r *run) killOnce(ctx context.Context) error {
	r.child.kill()
	r.target.down()
	r.killed.Add(1)
	if r.meanwhile != nil {
		r.meanwhile(r.dir)
	}
	c, err := start(ctx, r.program, r.store, r.addr(), r.log)
	if err != nil {
		return fmt.Errorf("after kill %d: %w: %s", r.killed.Load(), err, r.lastLog())
	}
	r.child = c
	s := r.target.serve(c)
	r.restarts = append(r.restarts, s)
	var health struct{ Status string }
	if err := r.target.get(ctx, "/healthz", &health); err != nil {
		return err
	}
	s.healthy = time.Since(s.started)
	return nil
}

// audit reads everything back over HTTP and compares it with the ledgers.
func (r *run) audit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	settle(ctx, r.target, r.clients)
	histories, found, err := read(ctx, r.target, r.accounts, min(len(r.clients), 16))
	if err != nil {
		return fmt.Errorf("reading the histories: %w", err)
	}
	for _, c := range r.clients {
		r.report.ledger = append(r.report.ledger, c.ledger...)
		found.add(c.trouble)
	}
	found.add(compare(histories, r.report.ledger))
	r.report.in, r.report.held = money(histories, r.report.ledger)
	if r.report.in != r.report.held && found.stuck.n == 0 {
		found.wrong.note("the accounts hold %d cents, but %d came in", r.report.held, r.report.in)
	}
	r.report.trouble = found
	return r.target.get(ctx, "/metrics.json", &r.report.counters)
}

// lastLog is the end of what the bank wrote on its standard error.
func (r *run) lastLog() string {
	const most = 1000
	text, err := os.ReadFile(r.log.Name())
	switch {
	case err != nil:
		return err.Error()
	case len(text) == 0:
		return "its log is empty"
	}
	return "its log ends with: " + strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
