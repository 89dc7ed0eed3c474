package conformance

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// Dir is the harness for a backend that keeps a store in a directory, or in a file. open
// is given a path at which there is nothing yet, in a directory of the store's own that
// exists, and the same path again to open the store again. Its stores are [Digester],
// [Corrupter] and [Occupier].
func Dir(name string, open func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error)) Harness {
	return dirHarness{Info{Name: name}, open}
}

type dirHarness struct {
	info Info
	open func(context.Context, string, *backend.Options) (*backend.Backend, error)
}

func (h dirHarness) Info() Info { return h.info }

func (h dirHarness) NewStore(_ context.Context, env *Env) (Store, error) {
	return DirStore(filepath.Join(env.Dir, "store"), h.open), nil
}

// DirectoryStore is a store in a directory, with the seams that every directory has.
type DirectoryStore interface {
	Store
	Digester
	Corrupter
	Charter
	Occupier
}

// DirStore is a store of [Dir] by itself, for harnesses that add seams to it.
func DirStore(dir string, open func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error)) DirectoryStore {
	return &dirStore{dir, open}
}

type dirStore struct {
	dir  string
	open func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error)
}

// Open opens the directory.
func (d *dirStore) Open(ctx context.Context, opts backend.Options) (Subject, error) {
	b, err := d.open(ctx, d.dir, &opts)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Destroy leaves it to the suite, which removes the directory above.
func (d *dirStore) Destroy(context.Context) error { return nil }

// Digest hashes names, modes and bytes of all files, of which there may be none yet.
func (d *dirStore) Digest(context.Context) (sum [32]byte, err error) {
	h := sha256.New()
	err = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if path == d.dir && errors.Is(err, fs.ErrNotExist) { // not made yet
			return nil
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(d.dir, path)
		fmt.Fprintf(h, "%q %v %d\n", rel, info.Mode(), info.Size())
		if !info.Mode().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		h.Write(b)
		return err
	})
	return [32]byte(h.Sum(nil)), err
}

// sized is a file with its size.
type sizedFile struct {
	path string
	size int64
}

// files lists the regular files that hold something, by name.
func (d *dirStore) files() (files []sizedFile, err error) {
	err = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > 0 {
			files = append(files, sizedFile{path, info.Size()})
		}
		return err
	})
	slices.SortFunc(files, func(a, b sizedFile) int { return cmp.Compare(a.path, b.path) })
	return files, err
}

// Bytes is the sum of the files' sizes.
func (d *dirStore) Bytes(context.Context) (sum int64, err error) {
	files, err := d.files()
	for _, f := range files {
		sum += f.size
	}
	return sum, err
}

// Flip changes a byte of a file in place.
func (d *dirStore) Flip(_ context.Context, i int64, mask byte) (err error) {
	files, err := d.files()
	if err != nil {
		return err
	}
	for _, f := range files {
		if i >= f.size {
			i -= f.size
			continue
		}
		file, err := os.OpenFile(f.path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		var b [1]byte
		if _, err = file.ReadAt(b[:], i); err == nil {
			b[0] ^= mask
			_, err = file.WriteAt(b[:], i)
		}
		return errors.Join(err, file.Close())
	}
	return fmt.Errorf("%w: byte %d lies beyond the end of all files", backend.ErrInvalid, i)
}
