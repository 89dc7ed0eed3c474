package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// SEAL is written when a store is closed and all is well, and removed before the store is
// written again. It says which files there were, with their sizes, without those that do not
// matter, and is text:
//
//	papyra seal 1
//	<size> <name>
//	…
//	crc32c <of all before, in hexadecimal>
//
// With it, logs and the manifest end where they should, or are damaged; without it, what their
// last write left may be torn.
type seal map[string]int64

const sealHeader = "papyra seal 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sizes returns the files in db, and how large they are.
func (p place) sizes() (map[string]int64, error) {
	names, err := p.fs.List(p.in(dbName))
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, name := range names {
		info, err := p.fs.Stat(p.in(dbName, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			sizes[name] = info.Size()
		}
	}
	return sizes, nil
}

// matters reports whether a file of db holds what can't be done without.
func matters(name string) bool {
	return isTable(name) || isLog(name) || strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker.")
}

func (p place) writeSeal() error {
	sizes, err := p.sizes()
	if err != nil {
		return err
	}
	text := sealHeader
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if matters(name) {
			text += fmt.Sprintf("%d %s\n", sizes[name], name)
		}
	}
	text += fmt.Sprintf("crc32c %08x\n", crc32.Checksum([]byte(text), castagnoli))
	return p.replace(sealName, []byte(text))
}

// readSeal returns the seal; nil if there is none, or none that can be believed, which tells
// nothing of the store.
func (p place) readSeal() (seal, error) {
	b, err := p.read(sealName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, sum, _ := strings.Cut(string(b), "crc32c ")
	if sum != fmt.Sprintf("%08x\n", crc32.Checksum([]byte(text), castagnoli)) || !strings.HasPrefix(text, sealHeader) {
		return nil, nil
	}
	s := seal{}
	for line := range strings.Lines(strings.TrimPrefix(text, sealHeader)) {
		var size int64
		var name string
		if _, err := fmt.Sscanf(line, "%d %s\n", &size, &name); err != nil {
			return nil, nil
		}
		s[name] = size
	}
	return s, nil
}

// compare reports the files that are missing, or of another size.
func (s seal) compare(sizes map[string]int64) (findings []backend.Anomaly) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		size, there := sizes[name]
		a := backend.Anomaly{Code: backend.MissingFile, Severity: backend.Damage, File: path.Join(dbName, name), Offset: -1, Detail: fmt.Sprintf("the file is missing: it had %d bytes when the store was closed", s[name])}
		if there {
			a.Code, a.Offset, a.Detail = backend.BadHeader, min(size, s[name]), fmt.Sprintf("the file has %d bytes, and had %d when the store was closed", size, s[name])
		}
		if !there || size != s[name] {
			findings = append(findings, a)
		}
	}
	return findings
}
