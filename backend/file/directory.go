package file

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// directory is a backend.Directory: what tools tell of a store from outside.
type directory struct{}

// Look tells a store from an empty directory and from anything else.
func (directory) Look(dir string) backend.Look {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return backend.Look{Severity: backend.Damage, Detail: fmt.Sprintf("the directory can't be read: %v", cause(err))}
	}
	var names []string
	segments, spans := 0, 0
	for _, e := range entries {
		if e.Name() == lostAndFound {
			continue
		}
		names = append(names, e.Name())
		switch filepath.Ext(e.Name()) {
		case segmentSuffix:
			segments++
		case spanSuffix:
			spans++
		}
	}
	holds := plural(segments, "segment")
	if spans > 0 {
		holds += " and " + plural(spans, "span")
	}
	switch {
	case slices.Contains(names, manifestName) || slices.Contains(names, copyName):
		return lookManifest(dir, holds)
	case segments+spans > 0:
		return backend.Look{Severity: backend.Damage, Detail: fmt.Sprintf("%s without a %s: a damaged store, not a new one", holds, manifestName)}
	case len(names) == 0:
		return backend.Look{Severity: backend.Damage, Empty: true}
	}
	return backend.Look{Severity: backend.Damage, Detail: fmt.Sprintf("no papyra store: it has no %s but %s", manifestName, disk.Sample(names))}
}

// lookManifest tells a store's format by the first line of its manifest, or of the copy that
// stands in for it. Whether the rest is sound is for opening to say.
func lookManifest(dir, holds string) backend.Look {
	format, wrong := storeFormat(filepath.Join(dir, manifestName))
	if wrong == "" {
		return backend.Look{Detail: fmt.Sprintf("a papyra store, format %s, %s", format, holds)}
	}
	if format, none := storeFormat(filepath.Join(dir, copyName)); none == "" {
		return backend.Look{Severity: backend.Warning, Detail: fmt.Sprintf("a papyra store, format %s, %s: its %s %s, and %s stands in for it", format, holds, manifestName, wrong, copyName)}
	}
	return backend.Look{Severity: backend.Damage, Detail: fmt.Sprintf("its %s %s", manifestName, wrong)}
}

// storeFormat is the format that the first line of a manifest names, or what is wrong with
// that.
func storeFormat(path string) (format, wrong string) {
	b, err := begins(path)
	note, _, _ := strings.Cut(string(b), "\n")
	format, ours := strings.CutPrefix(note, manifestMagic)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "is missing"
	case err != nil:
		return "", fmt.Sprintf("can't be read: %v", cause(err))
	case !ours:
		return "", "does not begin as a papyra manifest does: another program's, or damaged"
	}
	return format, ""
}

// begins is how a file begins.
func begins(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 512))
}

// cause is what an error of the operating system says without the path.
func cause(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// storeUUID reads which store a directory is of: the second line of its manifest, or of
// the copy.
func storeUUID(dir string) (id [16]byte, err error) {
	for _, name := range []string{manifestName, copyName} {
		beginning, _ := begins(filepath.Join(dir, name))
		lines := strings.SplitN(string(beginning), "\n", 3)
		if len(lines) < 3 || !strings.HasPrefix(lines[0], manifestMagic) {
			continue
		}
		b, err := hex.DecodeString(strings.TrimPrefix(lines[1], "store "))
		if err == nil && len(b) == len(id) {
			return [16]byte(b), nil
		}
	}
	return id, fmt.Errorf("%w: no manifest says which store this is", backend.ErrCorrupt)
}

// Unopened tells what is wrong with the manifests, and what the files that hold records are
// by their own headers. Nothing says which of them belong to the store, and in which order.
func (directory) Unopened(ctx context.Context, dir string, full bool) (list []backend.Anomaly, err error) {
	found := func(code backend.AnomalyCode, severity backend.Severity, file, format string, args ...any) {
		list = append(list, backend.Anomaly{Code: code, Severity: severity, File: file, Offset: -1, Detail: fmt.Sprintf(format, args...)})
	}
	for _, name := range []string{manifestName, copyName} {
		format, wrong := storeFormat(filepath.Join(dir, name))
		code := backend.BadHeader
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			code = backend.MissingFile
		}
		if wrong == "" {
			wrong = "begins as one of format " + format + " does, and the rest is damaged"
		}
		found(code, backend.Damage, name, "it %s", wrong)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if ctx.Err() != nil {
			return list, context.Cause(ctx)
		}
		if id, source := sourceID(e.Name()); source == "" || id == 0 || !e.Type().IsRegular() {
			continue
		}
		what, sound := partOfStore(filepath.Join(dir, e.Name()), full)
		if sound {
			found(backend.StrayFile, backend.Notice, e.Name(), "%s", what)
		} else {
			found(backend.BadHeader, backend.Damage, e.Name(), "%s", what)
		}
	}
	return list, err
}

// partOfStore says what a segment or a span is by its own header, and whether that is sound;
// if full, of a segment also which records in it are whole.
func partOfStore(path string, full bool) (what string, sound bool) {
	_, source := sourceID(filepath.Base(path))
	data, err := readPart(path, full && source == "segment")
	if err != nil {
		return fmt.Sprintf("it can't be read: %v", cause(err)), false
	}
	magic := map[string]string{"segment": segmentMagic, "span": spanMagic}[source]
	if len(data) < headerSize || !soundHeader(data, magic) {
		return fmt.Sprintf("its header is damaged: which %s it is can't be told", source), false
	}
	id, number := [16]byte(data[16:32]), func(at int) uint64 { return binary.LittleEndian.Uint64(data[at:]) }
	switch {
	case source == "span":
		what = fmt.Sprintf("a span of store %x: segments %d to %d, %d records, positions %d to %d", id, number(32), number(40), number(88), number(64), number(72))
	case full:
		what = fmt.Sprintf("segment %d of store %x: %s", number(32), id, wholeRecords(salvage(id, backend.Saved{Offset: -1}, data, nil)))
	default:
		what = fmt.Sprintf("segment %d of store %x", number(32), id)
	}
	return what + "; its header is sound", true
}

// wholeRecords tells of the records that were found in a segment.
func wholeRecords(found []backend.Salvaged) string {
	if len(found) == 0 {
		return "no whole record"
	}
	first, last := found[0].Record.Position, found[0].Record.Position
	for _, f := range found {
		first, last = min(first, f.Record.Position), max(last, f.Record.Position)
	}
	return fmt.Sprintf("%s whole, positions %d to %d", plural(len(found), "record"), first, last)
}

// readPart reads a file, or the page that it begins with.
func readPart(path string, all bool) ([]byte, error) {
	if all {
		return os.ReadFile(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	page := make([]byte, headerSize)
	n, err := f.ReadAt(page, 0)
	if n < headerSize {
		return page[:n], nil
	}
	return page, err
}

// soundHeader reports whether the first page of a segment or a span is as it was written.
func soundHeader(page []byte, magic string) bool {
	return string(page[:len(magic)]) == magic &&
		crcOf(page[:headerSize-4]) == binary.LittleEndian.Uint32(page[headerSize-4:])
}
