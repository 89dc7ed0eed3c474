package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestASelfTestThatIsInterruptedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(errInterrupted) })
	var out, stderr bytes.Buffer
	code := run(ctx, strings.Fields("conformance --selftest --quick"), &out, &stderr)
	if code != exitInterrupted || out.Len() > 0 {
		t.Errorf("exit code %d, out %q, error %q", code, &out, &stderr)
	}
}

// The whole of it takes minutes, and is what make conformance runs as a test.
func TestTheSelfTestIsACommand(t *testing.T) {
	if os.Getenv("PAPYRA_LONG") != "1" {
		t.Skip("takes minutes: PAPYRA_LONG=1")
	}
	var out, stderr bytes.Buffer
	if code := run(t.Context(), strings.Fields("conformance --selftest --quick"), &out, &stderr); code != exitOK || !strings.Contains(out.String(), ": PROVEN: ") {
		t.Errorf("exit code %d\n%s\n%s", code, &out, &stderr)
	}
}
