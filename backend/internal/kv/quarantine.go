package kv

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// Quarantine is where damaged bytes go before they are given up: a folder of the store, or
// one that the recovery was told.
type Quarantine struct {
	dir   string // the folder
	label string // what a saved file is said to be in
	dry   bool
}

const quarantineFolder = "quarantine"

func newQuarantine(store string, plan backend.RecoveryPlan) *Quarantine {
	q := &Quarantine{dir: filepath.Join(store, quarantineFolder), label: quarantineFolder, dry: plan.DryRun}
	if plan.QuarantineDir != "" {
		q.dir, q.label = plan.QuarantineDir, plan.QuarantineDir
	}
	return q
}

// Save saves bytes durably under a name that is made of prefix and what they are, so that
// doing it twice is doing it once, and returns where they are, relative to the store. In a
// dry run it saves nothing.
func (q *Quarantine) Save(prefix string, b []byte) (saved string, err error) {
	name := fmt.Sprintf("%s-%d-%08x.bytes", prefix, len(b), crc32.Checksum(b, castagnoli))
	return q.save(name, func(f *os.File) error {
		_, err := f.WriteAt(b, 0)
		return err
	})
}

// SaveFrom is Save for n bytes of a file, beginning at off.
func (q *Quarantine) SaveFrom(prefix string, from io.ReaderAt, off, n int64) (saved string, err error) {
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(from, off, n)); err != nil {
		return "", fmt.Errorf("%w: read what is to be quarantined: %w", backend.ErrUnavailable, err)
	}
	name := fmt.Sprintf("%s-%d-%08x.bytes", prefix, n, sum.Sum32())
	return q.save(name, func(f *os.File) error {
		_, err := io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(from, off, n))
		return err
	})
}

func (q *Quarantine) save(name string, fill func(*os.File) error) (string, error) {
	saved := filepath.Join(q.label, name)
	if q.dry {
		return saved, nil
	}
	err := q.write(name, fill)
	if err != nil {
		err = saveError(fmt.Errorf("save to the quarantine: %w", err))
	}
	return saved, err
}

func (q *Quarantine) write(name string, fill func(*os.File) error) error {
	if err := os.Mkdir(q.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	} else if err == nil {
		if err := disk.SyncPath(filepath.Dir(q.dir)); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(q.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() {
		return nil // its name says what is in it
	}
	tmp := name + ".tmp"
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	if err := root.Rename(tmp, name); err != nil {
		return err
	}
	return disk.SyncPath(q.dir)
}
