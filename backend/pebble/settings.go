package pebble

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/papyra-go/papyra/backend"
)

// formatVersion is pebble's format of a store's files: at least FormatWALSyncChunks, below
// which logs that are damaged are taken for logs that end there, and the first whose tables
// have a checksum over their footer.
const formatVersion = pebble.FormatTableFormatV6

// Memory holds at most so many full tables, and the newest level so many sublevels: who writes
// waits then. pebble would wait itself, but for ever. Their bytes count, not their number: pebble
// begins with small ones, of which it gathers some before it writes them.
const (
	mostMemTables = 4
	mostSublevels = 20
	never         = 1 << 20
)

// settings are how pebble opens a store.
func (e *engine) settings(m *medium, readOnly bool) *pebble.Options {
	log := &listener{e: e, m: m}
	o := &pebble.Options{
		FS:                          m,
		ReadOnly:                    readOnly,
		Logger:                      log,
		EventListener:               log.events(),
		FormatMajorVersion:          formatVersion,
		CacheSize:                   e.opts.CacheBytes,
		MemTableSize:                uint64(e.opts.MemTableBytes),
		MemTableStopWritesThreshold: never,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       never,
		DisableConsistencyCheck:     m.hideLogs, // what is missing is found otherwise
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	compression := func() *sstable.CompressionProfile { return sstable.NoCompression }
	if e.opts.Compress {
		compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	for i := range o.Levels {
		o.Levels[i] = pebble.LevelOptions{BlockSize: e.opts.BlockBytes, IndexBlockSize: 256 << 10, Compression: compression, FilterPolicy: bloom.FilterPolicy(10), FilterType: sstable.TableFilter}
	}
	return o
}

// listener hears what pebble says.
type listener struct {
	e *engine
	m *medium
}

func (l *listener) Infof(string, ...any)  {}
func (l *listener) Errorf(string, ...any) {}

// Fatalf is not to return, says pebble, and what it calls it for are failures that it is not
// told of, see medium, and its own faults. It returns: nothing is written any more, and
// each caller returns an error then, or goes on in memory.
func (l *listener) Fatalf(format string, args ...any) {
	l.m.fail(fmt.Errorf("pebble: "+strings.TrimPrefix(format, "pebble: "), args...))
}

func (l *listener) events() *pebble.EventListener {
	events := &pebble.EventListener{
		DataCorruption: func(pebble.DataCorruptionInfo) {}, // who reads it is told
		FlushEnd:       func(i pebble.FlushInfo) { l.e.worked(&l.e.ailing, i.Err) },
		CompactionEnd:  func(i pebble.CompactionInfo) { l.e.worked(&l.e.lagging, i.Err) },
	}
	events.EnsureDefaults(l)
	return events
}

// checkFormat refuses files of a newer pebble.
func checkFormat(names []string) error {
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, "marker.format-version.")
		if !ok {
			continue
		}
		_, version, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(version); err == nil && n > int(formatVersion) {
			return fmt.Errorf("%w: the store's files are of pebble's format %d, and this version of papyra reads up to %d", backend.ErrFormat, n, int(formatVersion))
		}
	}
	return nil
}
