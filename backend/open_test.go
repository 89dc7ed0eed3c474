package backend_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	_ "github.com/papyra-go/papyra/backend/memory"
)

func TestAWrongURLSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for _, row := range []struct{ url, says string }{
		{"", "no scheme"},
		{"/var/lib/app", "no scheme"},
		{"://", "can't be parsed"},
		{"file:///x", `import _ "github.com/papyra-go/papyra/backend/file"`},
		{"bolt:///x", "import _ \"github.com/papyra-go/papyra/backend/bolt\""},
		{"redis://localhost", "no engine for redis:// URLs in this program (it has: memory)"},
		{"memory://?colour=red", `no query key "colour" (they have: name, readonly, startup, startup-full, write-timeout)`},
		{"memory://?name=a&name=b", "stands twice"},
		{"memory://?readonly=yes", "want true or false"},
		{"memory://?startup-full=1", "startup-full=1: want true or false"},
		{"memory://?startup=maybe", "want fail-on-anomaly, ignore, scan-only or recover"},
		{"memory://?write-timeout=-1s", "want a duration above zero"},
		{"memory://host/path", "memory:// or memory://name"},
		{"memory://%zz", "can't be parsed"},
	} {
		b, err := backend.Open(t.Context(), row.url)
		if b != nil || !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("Open(%q) = %v, want ErrInvalid with %q", row.url, err, row.says)
		}
	}
}

func TestNoErrorRepeatsAURLsPassword(t *testing.T) {
	for _, url := range []string{"postgres://user:hunter2@host/db", "://user:hunter2@host", "memory://user:hunter2@host/x", "memory://user:hunter2@host?colour=red", "memory://u:hunter2@%zz"} {
		_, err := backend.Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q) = %v", url, err)
		}
	}
}

func TestWhatTheURLSaysGoesBeforeTheOptions(t *testing.T) {
	b, err := backend.OpenWith(t.Context(), "memory://?name=ledger&readonly=false", &backend.Options{Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Name() != "ledger" || b.Engine() != "memory" {
		t.Errorf("name %q, engine %q", b.Name(), b.Engine())
	}
	if _, err := b.Append(t.Context(), one("s")); err != nil {
		t.Errorf("Append = %v", err)
	}
}

func TestAURLCanNotUndoReadOnly(t *testing.T) {
	b, err := backend.OpenWith(t.Context(), "memory://?readonly=false", &backend.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("Append = %v, want ErrUnsupported", err)
	}
}

// noting is a driver that notes how deep it is scanned.
type noting struct {
	stub
	depths *[]backend.ScanDepth
}

func (d *noting) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	*d.depths = append(*d.depths, plan.Depth)
	return d.stub.Scan(ctx, plan)
}

func TestAURLCanAskForAFullCheck(t *testing.T) {
	var depths []backend.ScanDepth
	backend.Register("noting", backend.Scheme{Open: func(ctx context.Context, _ *url.URL, opts backend.Options) (*backend.Backend, error) {
		return backend.New(ctx, func(context.Context) (backend.Driver, error) { return &noting{depths: &depths}, nil }, &opts)
	}})
	for _, row := range []struct {
		query   string
		program bool // what Startup.Full says in the program
		want    backend.ScanDepth
	}{
		{"", false, backend.Quick},
		{"", true, backend.Full},
		{"?startup-full=true", false, backend.Full},
		{"?startup-full=false", true, backend.Quick},
		{"?startup=recover&startup-full=true", false, backend.Full},
	} {
		depths = nil
		b, err := backend.OpenWith(t.Context(), "noting://x"+row.query, &backend.Options{Startup: backend.Startup{Full: row.program}})
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if !slices.Equal(depths, []backend.ScanDepth{row.want}) {
			t.Errorf("%q, in the program %v: scanned with depths %v, want %v", row.query, row.program, depths, row.want)
		}
	}
}

func TestANamedMemoryStoreIsOnePlace(t *testing.T) {
	place := fmt.Sprintf("memory://place-%d", time.Now().UnixNano()) // stores with a name last as long as the process
	first, err := backend.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Append(t.Context(), one("s")); err != nil {
		t.Fatal(err)
	}
	if _, err := backend.Open(t.Context(), place); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("a second opener: %v, want ErrLocked", err)
	}
	first.Close()
	second, err := backend.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if h, err := second.Head(t.Context(), "s"); err != nil || h.Version != 1 {
		t.Errorf("Head = %+v, %v", h, err)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	for name, opts := range map[string]backend.Options{
		"WriteTimeout":     {WriteTimeout: -time.Second},
		"QueueBytes":       {QueueBytes: -1},
		"RecordBytes":      {Limits: backend.Limits{RecordBytes: backend.DefaultMaxRecordBytes + 1}},
		"BatchBytes":       {Limits: backend.Limits{BatchBytes: -1}},
		"Startup.Mode":     {Startup: backend.Startup{Mode: 9}},
		"Startup.Timeout":  {Startup: backend.Startup{Timeout: -1}},
		"Startup.Recovery": {Startup: backend.Startup{Recovery: 9}},
	} {
		_, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { t.Error("the driver was opened"); return nil, nil }, &opts)
		if !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want ErrInvalid naming it", name, err)
		}
	}
}

func TestTheObserverSeesEachCallOnceWithItsContextAndEnd(t *testing.T) {
	type key struct{}
	var calls []backend.Call
	var ends []error
	observer := func(ctx context.Context, call backend.Call) (context.Context, func(error)) {
		if call.Op != backend.OpClose && call.Op != backend.OpScan && ctx.Value(key{}) != "caller" {
			t.Errorf("%s: not the caller's context", call.Op)
		}
		calls = append(calls, call)
		return ctx, func(err error) { ends = append(ends, err) }
	}
	b := open(t, &backend.Options{Name: "seen", Observer: observer})
	calls, ends = nil, nil
	ctx := context.WithValue(t.Context(), key{}, "caller")
	b.Append(ctx, one("s"))
	b.Append(ctx, backend.Batch{Stream: "s", Records: one("s").Records})
	b.AppendAll(ctx, []backend.Batch{one("a"), one("b")})
	for range b.Read(ctx, backend.Query{}) {
		break
	}
	b.Head(ctx, "s")
	b.SaveSnapshot(ctx, backend.Record{Stream: "s", Version: 1})
	b.Snapshot(ctx, "s", 0)
	want := []backend.Op{backend.OpAppend, backend.OpAppend, backend.OpAppend, backend.OpRead, backend.OpHead, backend.OpSaveSnapshot, backend.OpSnapshot}
	if len(calls) != len(want) || len(ends) != len(want) {
		t.Fatalf("%d calls began, %d ended, want %d", len(calls), len(ends), len(want))
	}
	for i, op := range want {
		if calls[i].Op != op || calls[i].Backend != "seen" || calls[i].Engine != "memory" {
			t.Errorf("call %d: %+v, want %s", i, calls[i], op)
		}
		if conflict := i == 1; errors.Is(ends[i], backend.ErrConflict) != conflict || ends[i] != nil != conflict {
			t.Errorf("call %d ended with %v", i, ends[i])
		}
	}
	if c := calls[2]; c.Batches != 2 || c.Records != 2 || c.Bytes != 2*3 {
		t.Errorf("AppendAll was seen as %+v", c)
	}
}

func TestAReadOnlyBackendRefusesToWrite(t *testing.T) {
	b := open(t, &backend.Options{ReadOnly: true})
	if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("Append = %v", err)
	}
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "s", Version: 1}); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("SaveSnapshot = %v", err)
	}
}

func TestWhatIsNotClaimedIsUnsupported(t *testing.T) {
	b := overLog(t, &eagerLog{}) // claims nothing
	if _, err := b.Compact(t.Context(), backend.Cut{}); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("Compact = %v", err)
	}
	if _, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine}); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("Recover = %v", err)
	}
	if n := b.Metrics().Snapshot(); n.CompactErrors != 1 || n.RecoverErrors != 1 || n.CompactCount+n.RecoverCount != 0 {
		t.Errorf("counted %+v", n)
	}
}
