package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func TestWrongUsageIsOneLineAndItsExitCode(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "-store is missing"},
		{[]string{"-nonsense"}, exitUsage, "-nonsense"},
		{[]string{"-store", "memory://", "more"}, exitUsage, "more"},
		{[]string{"-store", "oracle://x"}, exitUsage, "oracle"},
		{[]string{"-store", "no url"}, exitUsage, "scheme"},
		{[]string{"-store", "memory://?colour=red"}, exitUsage, "colour"},
		{[]string{"-store", "memory://", "-addr", "nowhere"}, exitUsage, "nowhere"},
		{[]string{"-store", "memory://", "-addr", "127.0.0.1:99999"}, exitFailed, "-addr"},
		{[]string{"-h"}, exitFine, ""},
	} {
		err := run(t.Context(), row.args, io.Discard)
		if code := exitCode(err); code != row.code {
			t.Errorf("%q: exit code %d, want %d (%v)", row.args, code, row.code, err)
		}
		if err != nil && (!strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %q", row.args, err)
		}
	}
}

func TestALockedStoreIsExitCode3(t *testing.T) {
	url := "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "store"))
	holder, err := backend.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := run(t.Context(), []string{"-store", url, "-addr", "127.0.0.1:0"}, io.Discard); exitCode(err) != exitLocked {
		t.Errorf("exit code %d: %v", exitCode(err), err)
	}
}

func TestItPrintsItsAddressServesAndEndsGracefully(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-store", "memory://", "-addr", "127.0.0.1:0"}, w)
		w.CloseWithError(err)
		ended <- err
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + strings.TrimSpace(line) + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTheReadmesCurlLinesWork sends what the README's curl lines send, in their order.
func TestTheReadmesCurlLinesWork(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^curl (?:-X (\w+) )?(?:-d '(.*)' +)?http://127\.0\.0\.1:8080(\S+)$`)
	c := newTeller(t, memory.New())
	matches := line.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "\ncurl "); n != len(matches) || n < 8 {
		t.Fatalf("%d curl lines, of which %d can be read", n, len(matches))
	}
	for _, m := range matches {
		method, body := m[1], m[2]
		switch {
		case method == "" && body == "":
			method = "GET"
		case method == "":
			method = "POST"
		}
		if status, v := c.send(method, m[3], body); status >= 300 {
			t.Errorf("%s: status %d %v", m[0], status, v)
		}
	}
	c.must("GET", "/accounts/ada", "", 200)
	if state, _ := c.ends("t-1"); state != "done" {
		t.Errorf("the README's transfer is %s", state)
	}
}

func TestADamagedStoreIsExitCode2(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	url := "file://" + filepath.ToSlash(dir)
	store, err := backend.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	written(t, store, "account/ada", Opened{})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), []string{"-store", url, "-addr", "127.0.0.1:0"}, io.Discard)
	if exitCode(err) != exitDamaged || strings.Contains(err.Error(), "\n") {
		t.Errorf("exit code %d: %v", exitCode(err), err)
	}
}
