// Counts writes into a Markdown file what the attack suites have counted. It reads the
// output of go test -v from standard input, hands it on, and puts a table of the lines
//
//	attack: <name>: <count> <unit>, <details>
//
// between the markers in the file:
//
//	go test -v ./backend/... | go run ./backend/internal/counts docs/durability.md
//
// It fails if a test has failed, and then leaves the file as it is. With - in place of the
// file it prints the table, and the output only if a test has failed.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
)

const (
	begin = "<!-- counts: begin -->"
	end   = "<!-- counts: end -->"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -v … | counts <file.md or ->")
		os.Exit(64)
	}
	if err := run(os.Stdin, os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "counts:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, path string) error {
	if path == "-" {
		return show(in, out)
	}
	rows, err := collect(in, out)
	if err != nil {
		return err
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err = insert(doc, table(rows))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, doc, 0o644)
}

// show prints the table, or all of the output if a test has failed.
func show(in io.Reader, out io.Writer) error {
	var all bytes.Buffer
	rows, err := collect(in, &all)
	if err != nil {
		return errors.Join(err, copyTo(out, &all))
	}
	_, err = io.WriteString(out, table(rows))
	return err
}

func copyTo(out io.Writer, b *bytes.Buffer) error {
	_, err := b.WriteTo(out)
	return err
}

// row is one suite's line.
type row struct{ name, count, details string }

var (
	line   = regexp.MustCompile(`attack: ([^:]+): (\d+ [^,]+)(?:, (.*))?$`)
	spent  = regexp.MustCompile(`, [0-9.]+ m?s, \d+ states/s$`) // not the same in two runs
	failed = regexp.MustCompile(`^(--- FAIL|FAIL\b|panic:)`)
)

// collect returns the lines that it finds, and hands on all others too.
func collect(in io.Reader, out io.Writer) (rows []row, err error) {
	s := bufio.NewScanner(in)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		text := s.Text()
		fmt.Fprintln(out, text)
		if failed.MatchString(strings.TrimSpace(text)) {
			err = fmt.Errorf("a test failed: %s", text)
		}
		if m := line.FindStringSubmatch(text); m != nil {
			rows = append(rows, row{m[1], m[2], spent.ReplaceAllString(m[3], "")})
		}
	}
	if err == nil {
		err = s.Err()
	}
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("no line that begins with attack: was tests run with -v?")
	}
	return rows, err
}

func table(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Counted by `make counts` on %s/%s, with %d processors.\n\n| attack | how often | what was met |\n|---|---|---|\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(r.name), cell(r.count), cell(r.details))
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// insert replaces what stands between the markers.
func insert(doc []byte, text string) ([]byte, error) {
	from, to := bytes.Index(doc, []byte(begin)), bytes.Index(doc, []byte(end))
	if from < 0 || to < from {
		return nil, fmt.Errorf("the markers %s and %s are not there, or not in this order", begin, end)
	}
	out := append([]byte{}, doc[:from+len(begin)]...)
	out = append(out, "\n"+text...)
	return append(out, doc[to:]...), nil
}
