package main

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"
)

// unzstd is the script command "unzstd FROM TO".
func unzstd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unzstd FROM TO")
	}
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	z, err := zstd.NewReader(f)
	ts.Check(err)
	defer z.Close()
	data, err := io.ReadAll(z)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// cut is the script command "cut FROM TO BYTES": it copies a file but for so many bytes at
// its end.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut FROM TO BYTES")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data[:len(data)-n], 0o600))
}

// replace is the script command "replace FROM TO OLD NEW": it copies a file with the first
// OLD, which must be there, as NEW; both may have escapes such as \x00.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: replace FROM TO OLD NEW")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	unquote := func(s string) []byte {
		s, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
		ts.Check(err)
		return []byte(s)
	}
	if !bytes.Contains(data, unquote(args[2])) {
		ts.Fatalf("%s does not hold %s", args[0], args[2])
	}
	data = bytes.Replace(data, unquote(args[2]), unquote(args[3]), 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// kills is the script command "kills SIGNAL DIR BYTES program argument...": it starts the
// program, and sends the signal (INT or KILL) once the files in the directory take so many
// bytes. What the program says is standard error.
func kills(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: kills SIGNAL DIR BYTES program argument...")
	}
	least, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	var said bytes.Buffer
	cmd := exec.Command(onPath(ts, args[3]), args[4:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = ts.Getenv("WORK"), []string{"PATH=" + ts.Getenv("PATH")}, &said
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for size(ts.MkAbs(args[1])) < least {
		select {
		case err := <-ended:
			ts.Fatalf("%v ended before: %v\n%s", args[3:], err, said.Bytes())
		case <-time.After(time.Millisecond):
		}
	}
	signal := os.Kill
	if args[0] == "INT" {
		signal = os.Interrupt
	}
	ts.Check(cmd.Process.Signal(signal))
	code := codeOf(<-ended)
	if args[0] == "INT" && code != exitInterrupted {
		ts.Fatalf("%v: exit code %d\n%s", args[3:], code, said.Bytes())
	}
	ts.Check(os.WriteFile(ts.MkAbs("said"), said.Bytes(), 0o600))
}

// longLine is the program "longline FILE BYTES": three lines of JSON, of which the second
// has so many bytes.
func longLine(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte("1\n\""+strings.Repeat("x", n-2)+"\"\n3\n"), 0o600)
}

// lots is the program "lots FILE LINES": so many lines of JSON, of a hundred streams.
func lots(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "{\"s\":\"stream-%02d\",\"n\":%d,\"text\":\"%x\"}\n", i*7919%100, i, sha512.Sum512(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	return os.WriteFile(args[0], b.Bytes(), 0o600)
}

// size is how many bytes the files in a directory take; 0 if it is not there.
func size(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n
}
