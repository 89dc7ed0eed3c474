package file

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/disk"
)

// manifest is the only list of what exists. It is replaced by rename, never changed,
// and is text, for the day when somebody has to read it:
//
//	papyra file store format 1
//	store 5f0c…                          the UUID, 32 digits
//	generation 3                         one more each time
//	segment 1 life 9a0b…                 in the order of the log; life has 16 digits
//	segment 2 life 77fe…
//	crc 1a2b3c4d                         CRC-32C of all before, 8 digits
//
// A segment is in the durable manifest before its first group is written. So a listed
// one that is missing is lost, and an unlisted one with groups means that the manifest
// is an old one.
type manifest struct {
	store      [16]byte
	generation uint64
	segments   []listed
}

// listed is a segment as the manifest lists it.
type listed struct{ id, life uint64 }

const (
	manifestMagic = "papyra file store format "
	manifestMost  = 64 << 20 // bytes
)

func (m *manifest) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\nstore %x\ngeneration %d\n", manifestMagic, FormatVersion, m.store, m.generation)
	for _, s := range m.segments {
		fmt.Fprintf(&b, "segment %d life %016x\n", s.id, s.life)
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// errNotOurs says that a file named MANIFEST is not papyra's.
var errNotOurs = errors.New("does not begin as a papyra manifest does")

// parseManifest is strict: what it accepts, encode gives back byte by byte.
func parseManifest(b []byte) (m manifest, err error) {
	first, _, _ := strings.Cut(string(b[:min(len(b), 64)]), "\n")
	digits, ours := strings.CutPrefix(first, manifestMagic)
	if !ours {
		return m, errNotOurs
	}
	body, crc := b[:max(0, len(b)-len("crc 00000000\n"))], crc32.Checksum(b[:max(0, len(b)-len("crc 00000000\n"))], castagnoli)
	sound := bytes.Equal(b[len(body):], fmt.Appendf(nil, "crc %08x\n", crc))
	if v, err := strconv.ParseUint(digits, 10, 32); err == nil && v > FormatVersion {
		doubt := ""
		if !sound {
			doubt = "; its checksum does not hold, so the file may also be damaged"
		}
		return m, fmt.Errorf("%w: %s: format %d: this version of papyra reads up to %d; nothing was changed%s", backend.ErrFormat, manifestName, v, FormatVersion, doubt)
	}
	bad := &backend.CorruptError{File: manifestName, Offset: 0, Length: int64(len(b))}
	if !sound {
		bad.Detail = "the checksum does not hold"
		return m, bad
	}
	if err := m.parse(strings.Split(string(body), "\n")); err != nil {
		bad.Detail = err.Error()
		return m, bad
	}
	if !bytes.Equal(m.encode(), b) {
		bad.Detail = "not as it is written"
		return m, bad
	}
	return m, nil
}

func (m *manifest) parse(lines []string) error {
	if len(lines) < 3 {
		return fmt.Errorf("%d lines: want at least 3", len(lines))
	}
	var uuid string
	if _, err := fmt.Sscanf(lines[1], "store %s", &uuid); err != nil {
		return fmt.Errorf("line 2: %w", err)
	}
	if n, err := hex.Decode(m.store[:], []byte(uuid[:min(len(uuid), 32)])); err != nil || n != len(m.store) {
		return errors.New("line 2: want a UUID of 32 digits")
	}
	if _, err := fmt.Sscanf(lines[2], "generation %d", &m.generation); err != nil {
		return fmt.Errorf("line 3: %w", err)
	}
	last := uint64(0)
	for i, line := range lines[3:] {
		if line == "" {
			continue
		}
		var s listed
		if _, err := fmt.Sscanf(line, "segment %d life %x", &s.id, &s.life); err != nil || s.id <= last {
			return fmt.Errorf("line %d: want a segment with an id above %d", i+4, last)
		}
		m.segments = append(m.segments, s)
		last = s.id
	}
	return nil
}

// readManifest reads the manifest in dir. fs.ErrNotExist if there is none.
func readManifest(dir disk.FS) (manifest, error) {
	b, err := readWhole(dir, manifestName, manifestMost)
	if err != nil {
		return manifest{}, err
	}
	return parseManifest(b)
}

// readWhole reads a file that has at most so many bytes.
func readWhole(dir disk.FS, name string, most int64) ([]byte, error) {
	f, err := dir.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, &backend.CorruptError{File: name, Offset: 0, Length: size, Detail: fmt.Sprintf("%d bytes: want at most %d", size, most)}
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && (err != io.EOF || int64(n) < size) {
		return nil, unreadable(name, 0, err)
	}
	return b, nil
}

// replace makes name hold exactly b, durably, or leaves it as it is. A crash leaves
// the file from before, and a tmp file perhaps. clean says, of an error, that nothing
// but the tmp file was touched.
func replace(dir disk.FS, name string, b []byte) (clean bool, err error) {
	return replaceIn(dir, ".", name, b)
}

// replaceIn is replace for a file in a folder of dir.
func replaceIn(dir disk.FS, folder, name string, b []byte) (clean bool, err error) {
	return replaceWith(dir, folder, name, func(f disk.File) error {
		_, err := f.WriteAt(b, 0)
		return err
	})
}

// createNew creates a file to write to. What a crash left under the name goes; so does
// what somebody planted there, such as a link to another file, which is not written to.
func createNew(dir disk.FS, name string) (disk.File, error) {
	f, err := dir.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := dir.Remove(name); err != nil {
		return nil, err
	}
	return dir.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// replaceWith is replaceIn with a function that fills the file.
func replaceWith(dir disk.FS, folder, name string, fill func(disk.File) error) (clean bool, err error) {
	tmp := name + tmpSuffix
	f, err := createNew(dir, tmp)
	if err != nil {
		return true, err
	}
	if err = fill(f); err != nil {
		return true, errors.Join(err, f.Close(), dir.Remove(tmp))
	}
	if err = f.Sync(); err != nil {
		return false, errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return false, err
	}
	if err = dir.Rename(tmp, name); err != nil {
		return false, err
	}
	return false, dir.SyncDir(folder)
}
