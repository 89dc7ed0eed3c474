package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// The scheme fixture:// is an engine for these tests: a store with known records,
// or one with a known fault. A papyra that is built without tests does not have it.
func init() {
	backend.Register("fixture", backend.Scheme{Keys: []string{"secret"}, Open: openFixture})
}

// refusals are the fixtures that can't be opened.
var refusals = map[string]error{
	"locked":  fmt.Errorf("%w: held by process 4711 on host db1 since 2026-01-02", backend.ErrLocked),
	"foreign": fmt.Errorf("%w: this is a git repository", backend.ErrFormat),
	"broken":  &backend.CorruptError{File: "MANIFEST", Offset: 12, Detail: "crc 1a2b, want 3c4d"},
	"gone":    errors.New("connection refused"),
}

func openFixture(ctx context.Context, u *url.URL, opts backend.Options) (*backend.Backend, error) {
	if !opts.ReadOnly && !changeable[u.Host] {
		return nil, errors.New("the fixture was not opened read-only")
	}
	if opts.Startup.Mode != backend.IgnoreAnomalies {
		return nil, fmt.Errorf("the fixture was opened with startup mode %v", opts.Startup.Mode)
	}
	return backend.New(ctx, func(ctx context.Context) (backend.Driver, error) {
		if err := refusals[u.Host]; err != nil {
			return nil, err
		}
		inner, err := memory.Open(ctx, &backend.Options{Clock: ticking()})
		if err != nil {
			return nil, err
		}
		if err := fill(ctx, inner, u.Host); err != nil {
			return nil, err
		}
		return &fixture{Backend: inner, name: u.Host}, nil
	}, &opts)
}

// changeable are the fixtures that commands which change a store may open for writing.
var changeable = map[string]bool{"mend": true, "lossy": true, "cut": true, "stuck": true}

// ticking is a clock that goes on by one second and one nanosecond at each look.
func ticking() func() time.Time {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return func() time.Time {
		now = now.Add(time.Second + time.Nanosecond)
		return now
	}
}

// fill puts known records into b; the fixture named empty gets none, many gets a
// thousand streams besides, unseen records that nobody can read, and of thin one
// stream is cut and two are deleted.
func fill(ctx context.Context, b *backend.Backend, name string) error {
	if name == "empty" {
		return nil
	}
	meta, err := backend.MakeMeta("traceparent", "00-ab-cd-01", "by", "\x1b[2Jeve")
	if err != nil {
		return err
	}
	raw, err := backend.MakeMeta("raw", "\xff\xfe")
	if err != nil {
		return err
	}
	batches := []backend.Batch{
		{Stream: "account/ada", ID: backend.BatchID{0xab, 15: 1}, Epoch: 3, Records: []backend.Record{
			{Type: "opened", Schema: 1, Payload: []byte(`{"owner":"ada","limit":1e400}`), Meta: meta},
			{Type: "deposited", Schema: 2, Payload: []byte("{ \"cents\": 50 }\n")},
		}},
		{Stream: "account/ada", Expected: backend.Any, Epoch: 3, Records: []backend.Record{
			{Type: "note", Payload: []byte("hello \x1b]0;pwned\a world \u202e\u009b31m")},
			{Type: "blob", Payload: []byte{0, 0xff, 0x1b, 0x9b}, Meta: raw},
		}},
		{Stream: "evil \x1b[31m \u202e name", Expected: backend.Any, Records: []backend.Record{
			{Type: "html", Payload: []byte("{\"a\":\"<b>&\u009b\u2028\"}")},
			{Type: "", Payload: nil},
		}},
		{Stream: "$sys/shop/lifecycle", Expected: backend.Any, Records: []backend.Record{
			{Type: "started", Payload: []byte(`"account/ada"`)},
		}},
	}
	for _, batch := range batches {
		if _, err := b.Append(ctx, batch); err != nil {
			return err
		}
	}
	if name == "unseen" {
		if err := fillUnseen(ctx, b); err != nil {
			return err
		}
	}
	_, err = b.SaveSnapshot(ctx, backend.Record{Stream: "account/ada", Version: 2, Epoch: 3, Type: "state", Payload: []byte(`{"cents":50}`)})
	switch {
	case err == nil && name == "many":
		return fillMany(ctx, b)
	case err == nil && name == "thin":
		_, err = b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{
			{Stream: "$sys/shop/lifecycle", Delete: true},
			{Stream: "account/ada", Floor: 3},
			{Stream: "evil \x1b[31m \u202e name", Delete: true},
		}})
	}
	return err
}

// unseen are characters that leave no ink, or do something: one of each sort.
const unseen = "\u200b\u200d\u2060\ufeff\u00ad\u034f\u061c\u115f\u3164\uffa0\u17b4\u180e\ufe0f\u2800\u00a0\u3000\u2028\u202e\u2066\u0085\u009b\x7f\U000e0041\U000e0100\ue000\ufff9"

// fillUnseen puts unseen wherever a record has room for it.
func fillUnseen(ctx context.Context, b *backend.Backend) error {
	meta, err := backend.MakeMeta("k"+unseen, "v"+unseen)
	if err != nil {
		return err
	}
	_, err = b.Append(ctx, backend.Batch{Stream: "unseen" + unseen, Expected: backend.Any, Records: []backend.Record{
		{Type: "json" + unseen, Payload: []byte(`{"a` + unseen + `":"` + unseen + `"}`), Meta: meta},
		{Type: "text" + unseen, Payload: []byte(unseen + "\n\ttext"), Meta: meta},
	}})
	return err
}

func fillMany(ctx context.Context, b *backend.Backend) error {
	for i := range 1000 {
		_, err := b.Append(ctx, backend.Batch{Stream: fmt.Sprintf("many-%04d", i), Expected: backend.Any, Records: []backend.Record{
			{Type: "made", Payload: fmt.Appendf(nil, `{"n":%d}`, i)},
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// fixture is a driver over a filled memory store, with the faults that its name
// asks for.
type fixture struct {
	*backend.Backend
	name string
	mode backend.RecoveryMode // what it was recovered with
}

func (f *fixture) Append(context.Context, []backend.Batch) ([]backend.Result, error) {
	return nil, fmt.Errorf("%w: fixtures are read", backend.ErrUnsupported)
}

func (f *fixture) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for r, err := range f.Backend.Read(ctx, q) {
			if f.name == "damaged" && r.Position == 4 {
				yield(backend.Record{}, &backend.CorruptError{File: "000001.seg", Offset: 8192, Length: 64, Stream: r.Stream, Version: r.Version, Position: 4, Detail: "crc 00000001, want 00000002"})
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// staleHeads and lostRecord are findings that a repair mends, and does not.
var (
	staleHeads = backend.Anomaly{Code: backend.WrongHead, Severity: backend.Warning, File: "000009.heads", Offset: -1, Detail: "not what the records say"}
	lostRecord = backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Damage, File: "000001.seg", Offset: 8192, Length: 64, Stream: "account/ada", Version: 4, Position: 4, Detail: "crc 00000001, want 00000002"}
)

// findings are what a scan of a fixture reports.
var findings = map[string][]backend.Anomaly{
	"mend":  {staleHeads},
	"stuck": {staleHeads},
	"lossy": {lostRecord, staleHeads},
	"torn":  {{Code: backend.TornTail, Severity: backend.Notice, File: "000001.seg", Offset: 4096, Length: 12, Detail: "cut by a crash"}},
	"stray": {
		{Code: backend.StrayFile, Severity: backend.Warning, File: "x\x1b[31m\u009b.tmp", Offset: -1, Detail: "nothing lists it"},
	},
	"damaged": {
		{Code: backend.BadChecksum, Severity: backend.Damage, File: "000001.seg", Offset: 8192, Length: 64, Stream: "account/ada", Version: 4, Position: 4, Detail: "crc 00000001, want 00000002"},
		{Code: backend.StrayFile, Severity: backend.Warning, File: "old.tmp", Offset: -1, Detail: "nothing lists it"},
	},
}

func (f *fixture) Scan(ctx context.Context, _ backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		for _, a := range findings[f.name] {
			if f.mode == backend.Quarantine || f.mode == backend.Repair && a.Severity != backend.Damage {
				continue
			}
			if !yield(a, nil) {
				return
			}
		}
		switch f.name {
		case "slow":
			fmt.Fprintln(os.Stderr, "fixture: scanning")
			<-ctx.Done()
			yield(backend.Anomaly{}, context.Cause(ctx))
		case "hung":
			fmt.Fprintln(os.Stderr, "fixture: scanning")
			select {}
		case "eio":
			yield(backend.Anomaly{}, errors.New("000001.seg offset 4096: input/output error"))
		}
	}
}

func (f *fixture) Recover(ctx context.Context, plan backend.RecoveryPlan) (stats backend.RecoveryStats, err error) {
	if f.name == "stuck" && !plan.DryRun {
		fmt.Fprintln(os.Stderr, "fixture: recovering")
		<-ctx.Done()
		return stats, context.Cause(ctx)
	}
	for _, a := range plan.Anomalies {
		act := backend.RecoveryAction{Action: "rebuild", File: a.File, Offset: -1, Detail: "made again"}
		switch {
		case a.Severity == backend.Damage && plan.Mode == backend.Repair:
			continue
		case a.Severity == backend.Damage:
			act = backend.RecoveryAction{Action: "quarantine", File: a.File, Offset: a.Offset, Length: a.Length, Saved: "quarantine", Detail: "a hole is marked"}
		}
		stats.Actions = append(stats.Actions, act)
	}
	if !plan.DryRun {
		f.mode = plan.Mode
	}
	return stats, nil
}

func (f *fixture) Compact(ctx context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	report, err := f.Backend.Compact(ctx, cut)
	if err != nil {
		return backend.CompactionStats{}, err
	}
	return report.CompactionStats, nil
}

func (f *fixture) Info() backend.Info {
	can := changeable[f.name]
	return backend.Info{Engine: "fixture", Capabilities: backend.Capabilities{Repair: can, Quarantine: can, Compact: can}, Stats: []backend.Stat{
		{Name: "segments", Unit: "{segment}", Help: "Segments.", Value: 1},
		{Name: "log_bytes", Unit: "By", Help: "Bytes of the log.", Value: 12},
		{Name: "syncs", Unit: "{sync}", Help: "Syncs by this handle.", Value: 0},
	}}
}
