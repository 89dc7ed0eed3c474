package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// The names in a store's directory.
const (
	lockName      = "LOCK"
	sealName      = "SEAL"
	storeName     = "STORE"
	dbName        = "db"
	tmpName       = "db.tmp" // what a crash left of files that were being made
	newName       = "db.new" // whole, and to be db
	quarantineDir = "quarantine"
)

// openEngine opens what is in a directory: it looks at what pebble does not check, and gives
// the files to pebble if they are sound.
func openEngine(at place, o Options) (e *engine, err error) {
	e = &engine{at: at, opts: o, m: newMedium(at.fs)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
			e = nil
		}
	}()
	fresh, err := look(at, o.ReadOnly)
	if err != nil {
		return e, err
	}
	if fresh {
		err = makeDir(at)
	} else { // before LOCK is made: what a newer version wrote is left as it is
		err = e.checkFormat()
	}
	if err != nil {
		return e, err
	}
	if e.lock, err = at.fs.lock(at.dir, o.ReadOnly); err != nil {
		return e, err
	}
	if fresh, err = look(at, o.ReadOnly); err != nil { // what was seen before the lock may have changed
		return e, err
	}
	if !o.ReadOnly {
		if err := e.tidy(); err != nil {
			return e, err
		}
	}
	if fresh {
		if err := e.create(); err != nil {
			return e, err
		}
	}
	return e, e.start()
}

// makeDir makes the store's directory, if there is none.
func makeDir(at place) error {
	if _, err := at.fs.Stat(at.dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := at.fs.PathDir(at.dir)
	if _, err := at.fs.Stat(parent); err != nil {
		return err
	}
	if err := at.fs.MkdirAll(at.dir, 0o700); err != nil {
		return err
	}
	return syncDir(at.fs, parent)
}

// look reports whether the directory is one to create a store in, or an error if it holds
// neither a store nor nothing.
func look(at place, readOnly bool) (fresh bool, err error) {
	names, err := at.fs.List(at.dir)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	foreign, kept := "", ""
	slices.Sort(names)
	for _, name := range names {
		switch name {
		case dbName, newName:
			return false, nil
		case lockName, tmpName, storeName + ".tmp", sealName + ".tmp", "lost+found":
		case quarantineDir, sealName, storeName:
			kept = name
		default:
			foreign = name
		}
	}
	switch {
	case foreign != "":
		return false, fmt.Errorf("%w: the directory is not a pebble store: it holds %q, and no %s", backend.ErrFormat, foreign, dbName)
	case kept != "":
		return false, &backend.CorruptError{File: dbName, Offset: -1, Detail: "it is missing, though there is " + kept + ": the store is damaged, not new"}
	case readOnly:
		return false, fmt.Errorf("%w: the directory holds no pebble store, and a read-only open creates none", backend.ErrFormat)
	}
	return true, nil
}

// tidy ends what a crash has left half done.
func (e *engine) tidy() error {
	if err := e.finishRebuild(); err != nil {
		return err
	}
	return e.at.drop(tmpName)
}

// The tables of kv that are named here.
const (
	tableMeta   = 0
	tablePlaces = 'p'
	tableNames  = 's'
)

// storeText is what STORE says, so that a newer format is known before anything is touched.
var storeText = fmt.Sprintf("papyra store on pebble, format %d\n", kv.FormatVersion)

// create makes an empty store. It gets its name when it is whole and durable: without it,
// what a crash leaves is an empty directory to the next open.
func (e *engine) create() error {
	if err := e.build(func(to *engine) error { return kv.Create(to) }); err != nil {
		return err
	}
	if err := e.at.fs.Rename(e.at.in(tmpName), e.at.in(dbName)); err != nil {
		return err
	}
	if err := e.at.sync(); err != nil {
		return err
	}
	return e.at.replace(storeName, []byte(storeText))
}

// build makes whole and durable files of pebble under tmpName. All that fill writes is in
// tables then, and the log is a new one, which is written in the newest format.
func (e *engine) build(fill func(*engine) error) error {
	if err := e.at.drop(tmpName); err != nil {
		return err
	}
	to := &engine{at: e.at, opts: e.opts, m: newMedium(e.at.fs)}
	to.m.opening.Store(true)
	err := guard(func() (err error) {
		to.db, err = pebble.Open(e.at.in(tmpName), to.settings(to.m, false))
		return err
	})
	to.m.opening.Store(false)
	if err = errors.Join(to.m.failed(), err); err == nil {
		if err = fill(to); err == nil {
			err = to.flush(context.Background(), 0)
		}
	}
	if to.db != nil {
		err = errors.Join(err, to.closeDB())
	}
	return errors.Join(err, to.m.failed())
}

// start opens the files.
func (e *engine) start() error {
	if err := e.checkFormat(); err != nil {
		return err
	}
	findings, err := e.survey()
	if err == nil && len(findings) == 0 {
		findings, err = e.openDB()
	}
	if err == nil && len(findings) > 0 {
		return e.giveUp(findings)
	}
	if err == nil {
		if err = e.probe(); errors.Is(err, backend.ErrCorrupt) {
			err = e.turn(context.Background())
		}
	}
	return err
}

// probe reads what the store says of itself, without which it can't be opened.
func (e *engine) probe() error {
	return e.View(func(s kv.Snapshot) error {
		c := s.Cursor([]byte{tableMeta}, []byte{tableMeta + 1})
		defer c.Close()
		for ok := c.Seek([]byte{tableMeta}); ok; ok = c.Next() {
			if _, err := c.Value(nil); err != nil {
				return err
			}
		}
		_, _, err := s.Get([]byte{tableNames}, nil)
		return errors.Join(c.Err(), err)
	})
}

// giveUp goes on without pebble.
func (e *engine) giveUp(findings []backend.Anomaly) error {
	s, err := e.salvage(findings)
	if err == nil && s.judge == nil {
		s.close()
		return &backend.CorruptError{File: findings[0].File, Offset: findings[0].Offset, Length: findings[0].Length, Detail: findings[0].Detail + "; and what store it is is nowhere to be read: no part of it can be told from another"}
	}
	if err == nil {
		e.damage.Store(s)
	}
	return err
}

// checkFormat refuses what a newer version has written, before anything is changed.
func (e *engine) checkFormat() error {
	names, err := e.at.fs.List(e.at.in(dbName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be missing yet, see finishRebuild
		return err
	}
	if err := checkFormat(names); err != nil {
		return err
	}
	text, err := e.at.read(storeName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	format := 0
	if n, _ := fmt.Sscanf(string(text), "papyra store on pebble, format %d\n", &format); n == 1 && format > kv.FormatVersion {
		return fmt.Errorf("%w: the store is of format %d, and this version of papyra reads up to %d", backend.ErrFormat, format, kv.FormatVersion)
	}
	e.strange = string(text) != storeText
	return nil
}

// survey looks at what pebble does not: whether the files are those that were there when the
// store was closed, and whether the manifest and the logs end where they should.
func (e *engine) survey() (findings []backend.Anomaly, err error) {
	sizes, err := e.at.sizes()
	if err != nil {
		return nil, err
	}
	s, err := e.at.readSeal()
	if err != nil {
		return nil, err
	}
	findings = s.compare(sizes)
	manifest, newest := "", ""
	for name := range sizes {
		if rest, ok := strings.CutPrefix(name, "marker.manifest."); ok { // the one with the highest number counts
			if n, value, _ := strings.Cut(rest, "."); n > newest {
				manifest, newest = value, n
			}
		}
	}
	size, there := sizes[manifest]
	if !there {
		if manifest == "" {
			manifest = "MANIFEST-*"
		}
		return append(findings, backend.Anomaly{Code: backend.MissingFile, Severity: backend.Damage, File: path.Join(dbName, manifest), Offset: -1, Detail: "the list of files is missing"}), nil
	}
	c, err := e.at.readChunks(manifest, size, 0)
	if err != nil {
		return nil, err
	}
	findings = append(findings, c.findings(manifest, s != nil)...)
	for name, size := range sizes {
		if !isLog(name) || size == 0 || s != nil && s[name] != size {
			continue
		}
		c, err := e.at.readLog(name, size)
		if err != nil {
			return nil, err
		}
		findings = append(findings, c.findings(name, s != nil)...)
	}
	slices.SortFunc(findings, func(a, b backend.Anomaly) int { return strings.Compare(a.File, b.File) })
	return findings, nil
}

// openDB has pebble open the files. What it says of damage is a finding.
func (e *engine) openDB() (findings []backend.Anomaly, err error) {
	if e.strange && !e.opts.ReadOnly {
		if err := e.checkIdentity(); err != nil {
			return nil, err
		}
	}
	if !e.opts.ReadOnly {
		if err := e.at.drop(sealName); err != nil {
			return nil, err
		}
		e.dropNotes()
	}
	err = e.open(e.opts.ReadOnly)
	var errno syscall.Errno
	switch failed := e.m.failed(); {
	case err == nil && failed == nil:
		return nil, nil
	case failed != nil:
		if e.db != nil {
			_ = e.closeDB()
		}
		return nil, failed
	case errors.Is(err, syscall.EIO) || errors.Is(err, fs.ErrNotExist), !errors.As(err, &errno):
		var ce *backend.CorruptError
		if errors.As(corrupt(err), &ce); ce.Offset >= 0 || ce.File != dbName {
			return []backend.Anomaly{{Code: backend.BadHeader, Severity: backend.Damage, File: ce.File, Offset: ce.Offset, Length: ce.Length, Detail: ce.Detail}}, nil
		}
		return []backend.Anomaly{{Code: backend.BadHeader, Severity: backend.Damage, File: dbName, Offset: -1, Detail: "pebble can't open it: " + err.Error()}}, nil
	}
	return nil, err
}

func (e *engine) open(readOnly bool) error {
	e.m = newMedium(e.at.fs)
	e.m.opening.Store(!readOnly)
	defer e.m.opening.Store(false)
	return guard(func() (err error) {
		e.db, err = pebble.Open(e.at.in(dbName), e.settings(e.m, readOnly))
		return err
	})
}

// dropNotes removes what pebble noted of its settings, which it is not shown, see medium. It
// notes them anew.
func (e *engine) dropNotes() {
	names, _ := e.at.fs.List(e.at.in(dbName))
	for _, name := range names {
		if strings.HasPrefix(name, "OPTIONS-") {
			_ = e.at.fs.Remove(e.at.in(dbName, name))
		}
	}
}

// checkIdentity looks, without changing anything, whether a store that does not say it before
// is of a format that is known, and notes it.
func (e *engine) checkIdentity() error {
	o := e.opts
	o.ReadOnly = true
	other := &engine{at: e.at, opts: o}
	if err := other.open(true); err != nil { // it will be met again
		return nil
	}
	l, err := kv.Open(other, kv.Options{Dir: e.at.saves})
	if err == nil {
		err = l.Close()
	}
	if errors.Is(err, backend.ErrCorrupt) { // the same
		return nil
	}
	if err != nil {
		return err
	}
	return e.at.replace(storeName, []byte(storeText))
}
