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
	"slices"
	"strconv"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// manifest is the only list of what exists. It is replaced by rename, never changed,
// and is text, for the day when somebody has to read it:
//
//	papyra file store format 2
//	store 5f0c…                          the UUID, 32 digits
//	generation 30                        one more each time
//	log sequence 88 chain 1a2b3c4d position 700
//	                                     what stands before the first segment: the last
//	                                     group's sequence and chain, the last position
//	span 1-4 generation 12 …             in the order of the log; see span.go
//	cuts                                 a span may hold something below a floor; see cutaway.go
//	heads 29 bytes 8192 streams 100      newest first; see heads.go
//	hole from 41 to 41 file "…" offset 4096 bytes 300 stream "…" version 7 detail "…"
//	                                     records that quarantine has given up
//	segment 5 life 9a0b…                 in the order of the log; life has 16 digits
//	segment 6 life 77fe…
//	crc 1a2b3c4d                         CRC-32C of all before, 8 digits
//
// A segment is in the durable manifest before its first group is written. So a listed
// one that is missing is lost, and an unlisted one with groups means that the manifest
// is an old one. MANIFEST.copy holds the same, for the day on which MANIFEST rots.
type manifest struct {
	format     uint64 // as it was read; written is always FormatVersion
	store      [16]byte
	generation uint64
	start      logStart
	spans      []spanInfo
	cuts       bool // a span may hold something below a floor
	heads      []headsInfo
	holes      holes
	segments   []listed
}

// logStart is what stands before the first segment of the log.
type logStart struct {
	sequence uint64           // of the last group
	chain    uint32           // the CRC in its header
	position backend.Position // the last there was
}

// listed is a segment as the manifest lists it.
type listed struct{ id, life uint64 }

const (
	manifestMagic = "papyra file store format "
	cutsLine      = "cuts"
	manifestMost  = 64 << 20 // bytes
)

func (m *manifest) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\nstore %x\ngeneration %d\n", manifestMagic, m.format, m.store, m.generation)
	if m.format > 1 {
		fmt.Fprintf(&b, "log sequence %d chain %08x position %d\n", m.start.sequence, m.start.chain, m.start.position)
	}
	for i := range m.spans {
		m.spans[i].print(&b)
	}
	if m.cuts {
		b.WriteString(cutsLine + "\n")
	}
	for _, h := range m.heads {
		fmt.Fprintf(&b, "heads %d bytes %d streams %d\n", h.generation, h.size, h.streams)
	}
	for i := range m.holes {
		m.holes[i].print(&b)
	}
	for _, s := range m.segments {
		fmt.Fprintf(&b, "segment %d life %016x\n", s.id, s.life)
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// print writes the hole's line.
func (h *hole) print(b *bytes.Buffer) {
	fmt.Fprintf(b, "hole from %d to %d file %s offset %d bytes %d stream %s version %d detail %s\n", h.from, h.to,
		strconv.QuoteToASCII(h.lost.File), h.lost.Offset, h.lost.Length, strconv.QuoteToASCII(h.stream), h.lost.Version, strconv.QuoteToASCII(h.lost.Detail))
}

// scanHole is the inverse of print.
func scanHole(line string) (h hole, err error) {
	_, err = fmt.Sscanf(line, "hole from %d to %d file %q offset %d bytes %d stream %q version %d detail %q", &h.from, &h.to,
		&h.lost.File, &h.lost.Offset, &h.lost.Length, &h.stream, &h.lost.Version, &h.lost.Detail)
	h.lost.Stream, h.lost.Position, h.marked = h.stream, h.from, true
	return h, err
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
	v, err := strconv.ParseUint(digits, 10, 32)
	if m.format = v; err == nil && v > FormatVersion {
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
	for i, line := range lines[3:] {
		if line == "" {
			continue
		}
		if err := m.parseLine(line); err != nil {
			return fmt.Errorf("line %d: %w", i+4, err)
		}
	}
	return nil
}

// parseLine takes in one line after the first three. That they stand in their order is
// checked by encoding them again.
func (m *manifest) parseLine(line string) (err error) {
	what, _, _ := strings.Cut(line, " ")
	switch what {
	case "log":
		_, err = fmt.Sscanf(line, "log sequence %d chain %x position %d", &m.start.sequence, &m.start.chain, &m.start.position)
	case "span":
		var sp spanInfo
		if err = sp.scan(line); err == nil && len(m.spans) > 0 && sp.first <= m.spans[len(m.spans)-1].last {
			err = errors.New("a span that does not follow the one before it")
		}
		m.spans = append(m.spans, sp)
	case cutsLine:
		m.cuts = true
	case "heads":
		var h headsInfo
		_, err = fmt.Sscanf(line, "heads %d bytes %d streams %d", &h.generation, &h.size, &h.streams)
		m.heads = append(m.heads, h)
	case "hole":
		var h hole
		h, err = scanHole(line)
		m.holes = append(m.holes, h)
	case "segment":
		var s listed
		if _, err = fmt.Sscanf(line, "segment %d life %x", &s.id, &s.life); err == nil && s.id <= m.newestID() {
			err = fmt.Errorf("segment %d: want an id above %d", s.id, m.newestID())
		}
		m.segments = append(m.segments, s)
	default:
		err = errors.New("a line of an unknown kind")
	}
	return err
}

// newestID is the greatest id of a segment that is listed, or was before it was packed.
func (m *manifest) newestID() uint64 {
	if n := len(m.segments); n > 0 {
		return m.segments[n-1].id
	}
	if n := len(m.spans); n > 0 {
		return m.spans[n-1].last
	}
	return 0
}

// before returns the id before that of a listed segment, as its header has it.
func (m *manifest) before(id uint64) (previous uint64) {
	if n := len(m.spans); n > 0 {
		previous = m.spans[n-1].last
	}
	for _, l := range m.segments {
		if l.id == id {
			break
		}
		previous = l.id
	}
	return previous
}

// clone returns a copy whose lists can be appended to and changed.
func (m *manifest) clone() manifest {
	c := *m
	c.spans, c.heads = slices.Clone(m.spans), slices.Clone(m.heads)
	c.holes, c.segments = slices.Clone(m.holes), slices.Clone(m.segments)
	return c
}

// readManifest reads the manifest in dir. If it is damaged or missing and its copy is
// sound, that is what counts, and rotten says what is wrong. fs.ErrNotExist if there is
// neither.
func readManifest(dir disk.FS) (m manifest, rotten, err error) {
	b, err := readWhole(dir, manifestName, manifestMost)
	if err == nil {
		m, err = parseManifest(b)
	}
	if errors.Is(err, backend.ErrFormat) {
		if m, ok := misnumbered(b); ok {
			return m, err, nil
		}
	}
	if err == nil || errors.Is(err, backend.ErrFormat) {
		return m, nil, err
	}
	b, copyErr := readWhole(dir, copyName, manifestMost)
	if copyErr == nil {
		if m, copyErr = parseManifest(b); copyErr == nil {
			return m, err, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) { // what is wrong is said by the copy
		err = copyErr
		if ce := (*backend.CorruptError)(nil); errors.As(err, &ce) {
			ce.File, ce.Detail = copyName, ce.Detail+", and "+manifestName+" is missing"
		}
	}
	return manifest{}, nil, err
}

// misnumbered looks whether a manifest of a format that is too new is one of this version,
// or an older one, of which the number alone is damaged: its checksum tells.
func misnumbered(b []byte) (m manifest, ok bool) {
	_, rest, _ := bytes.Cut(b, []byte("\n"))
	for v := range FormatVersion {
		m, err := parseManifest(append(fmt.Appendf(nil, "%s%d\n", manifestMagic, v+1), rest...))
		if err == nil {
			return m, true
		}
	}
	return m, false
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

// putManifest replaces the manifest and its copy, durably, or leaves them as they are. On
// a full disk the reserve makes room, if it may. clean says, of an error, that neither was touched.
func (s *store) putManifest(m *manifest, reserve bool) (clean bool, err error) {
	b := m.encode()
	if len(b) > manifestMost {
		return true, fmt.Errorf("%w: a manifest of %d bytes, with %d spans and %d holes", backend.ErrTooLarge, len(b), len(m.spans), len(m.holes))
	}
	err = s.writeManifests(b)
	if err != nil && noSpace(err) && reserve && s.dir.Remove(reserveName) == nil {
		err = s.writeManifests(b)
	}
	if err != nil {
		return true, err
	}
	return false, s.putNames(copyName, manifestName)
}

// writeManifests writes the manifest and its copy under their tmp names, durably but for
// those.
func (s *store) writeManifests(b []byte) error {
	for _, name := range [...]string{manifestName, copyName} {
		f, err := createNew(s.dir, name+tmpSuffix)
		if err != nil {
			_ = s.dir.Remove(manifestName + tmpSuffix)
			return err
		}
		if _, err = f.WriteAt(b, 0); err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			_ = s.dir.Remove(manifestName + tmpSuffix)
			_ = s.dir.Remove(copyName + tmpSuffix)
			return err
		}
	}
	return nil
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
