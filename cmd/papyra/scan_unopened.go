package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// unopened is what can be said of a file store that does not open, because its manifest
// and the copy are both gone or damaged: what is wrong with these, and what the files that
// hold records are by their own headers. Nothing says which of them belong to the store,
// and in which order, so this is no scan.
func unopened(ctx context.Context, dir string, full bool) (*backend.ScanReport, error) {
	start := time.Now()
	r := &backend.ScanReport{Full: false, Anomalies: []backend.Anomaly{}}
	defer func() { r.Took = time.Since(start) }()
	found := func(code backend.AnomalyCode, severity backend.Severity, file, format string, args ...any) {
		r.Anomalies = append(r.Anomalies, backend.Anomaly{Code: code, Severity: severity, File: file, Offset: -1, Detail: fmt.Sprintf(format, args...)})
		switch severity {
		case backend.Notice:
			r.Notices++
		default:
			r.Damages++
		}
	}
	for _, name := range []string{manifestFile, copyFile} {
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
			return r, context.Cause(ctx)
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
	return r, err
}

// partOfStore says what a segment or a span is by its own header, and whether that is sound;
// if full, of a segment also which records in it are whole.
func partOfStore(path string, full bool) (what string, sound bool) {
	_, source := sourceID(filepath.Base(path))
	data, err := readPart(path, full && source == "segment")
	if err != nil {
		return fmt.Sprintf("it can't be read: %v", reason(err)), false
	}
	magic := map[string]string{"segment": segmentMagic, "span": spanMagic}[source]
	if len(data) < partHeader || !soundHeader(data, magic) {
		return fmt.Sprintf("its header is damaged: which %s it is can't be told", source), false
	}
	id, number := [16]byte(data[16:32]), func(at int) uint64 { return binary.LittleEndian.Uint64(data[at:]) }
	switch {
	case source == "span":
		what = fmt.Sprintf("a span of store %x: segments %d to %d, %d records, positions %d to %d", id, number(32), number(40), number(88), number(64), number(72))
	case full:
		what = fmt.Sprintf("segment %d of store %x: %s", number(32), id, wholeRecords(salvage(id, &extent{Offset: -1}, data)))
	default:
		what = fmt.Sprintf("segment %d of store %x", number(32), id)
	}
	return what + "; its header is sound", true
}

// wholeRecords tells of the records that were found in a segment.
func wholeRecords(found []salvaged) string {
	if len(found) == 0 {
		return "no whole record"
	}
	first, last := found[0].record.Position, found[0].record.Position
	for _, f := range found {
		first, last = min(first, f.record.Position), max(last, f.record.Position)
	}
	return fmt.Sprintf("%s whole, positions %d to %d", count(len(found), "record"), first, last)
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
	page := make([]byte, partHeader)
	n, err := f.ReadAt(page, 0)
	if n < partHeader {
		return page[:n], nil
	}
	return page, err
}

// scanUnopened tells what can be told of a store that does not open, and hands on why.
func (a *app) scanUnopened(ctx context.Context, p place, quick bool, why error) error {
	opening := (*openError)(nil)
	if word, _ := outcome(why); word != "corrupt" || !errors.As(why, &opening) || p.dir() == "" {
		return why
	}
	report, err := unopened(ctx, p.dir(), !quick)
	if err != nil {
		return errors.Join(why, err)
	}
	if err := a.printScan(header{"papyra.scan/1", p.String(), quarantineEngine}, report, nil, why); err != nil {
		return err
	}
	return why
}
