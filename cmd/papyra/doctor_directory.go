package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// The names that every store in a directory has.
const (
	lockFile      = "LOCK"
	quarantineDir = "quarantine"
)

// lowSpace is the free space below which the doctor warns: a store needs room for
// some segments to go on.
const lowSpace = 256 << 20

// quarantined is one file in quarantine.
type quarantined struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

// examineDirectory looks at the directory of a store from outside.
func (d *doctor) examineDirectory(p place) {
	if p.url.Scheme == "memory" {
		d.add("place", statusNote, "memory of this very program: a new, empty store; that of another process can't be reached")
	}
	dir := p.dir()
	if dir == "" {
		return
	}
	if err := p.missing(); err != nil {
		if errors.Is(err, backend.ErrFormat) {
			d.otherwise = "check the path: it is that of a file, and a store is a directory"
		}
		return
	}
	d.examinePlace(p.directory().Look(dir))
	d.examinePermissions(dir)
	d.examineSpace(dir)
	d.examineLock(filepath.Join(dir, lockFile))
	d.examineQuarantine(p, filepath.Join(dir, quarantineDir))
}

// examinePlace tells what the engine sees in the directory.
func (d *doctor) examinePlace(look backend.Look) {
	if look.Empty {
		d.add("place", statusProblem, "an empty directory: no store was made here yet, or the disk is not mounted")
		d.otherwise = "if a store should be here, check the path and that the disk is mounted; if not, there is nothing to do: an application makes its store when it first opens it"
		return
	}
	status := map[backend.Severity]string{backend.Notice: statusOK, backend.Warning: statusWarning, backend.Damage: statusProblem}[look.Severity]
	d.add("place", status, "%s", look.Detail)
}

func (d *doctor) examinePermissions(dir string) {
	info, err := os.Stat(dir)
	if err != nil {
		d.add("permissions", statusUnknown, "%v", reason(err))
		return
	}
	detail := fmt.Sprintf("%v%s", info.Mode(), owner(info))
	mode := info.Mode().Perm()
	if runtime.GOOS == "windows" { // where modes are made up
		mode = 0
	}
	switch {
	case mode&0o022 != 0:
		d.add("permissions", statusWarning, "%s: others than the owner may change what is in it", detail)
		d.advise("let only the owner in: chmod 0700 %s", show(dir))
	case mode&0o055 != 0:
		d.add("permissions", statusNote, "%s: others than the owner may look into it", detail)
	default:
		d.add("permissions", statusOK, "%s", detail)
	}
	if err := writable(dir); err != nil {
		d.add("permissions", statusNote, "this user may not write here (%v): papyra recover and papyra compact need one who may", err)
	}
}

func (d *doctor) examineSpace(dir string) {
	free, total, err := diskSpace(dir)
	switch {
	case err != nil:
		d.add("disk", statusUnknown, "free space can't be told: %v", err)
	case free < lowSpace:
		d.add("disk", statusWarning, "%s free of %s", bytesText(free), bytesText(total))
		d.advise("free some space: appends fail when the disk is full; reads go on")
	default:
		d.add("disk", statusOK, "%s free of %s", bytesText(free), bytesText(total))
	}
}

// bytesText is a size for people.
func bytesText(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, unit := float64(n), 0
	for f >= 1024 && unit < len(units)-1 {
		f, unit = f/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[unit])
}

// examineLock says who holds the store. That someone does is no fault.
func (d *doctor) examineLock(path string) {
	note, err := firstLine(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add("lock", statusNote, "there is no %s file: no process has it open for writing", lockFile)
		return
	case err != nil:
		d.add("lock", statusUnknown, "%s can't be read: %v", lockFile, reason(err))
		return
	case note == "":
		note = "(nothing)"
	}
	switch pid, known := lockHolder(path); {
	case !known:
		d.add("lock", statusUnknown, "this system does not tell who holds it; %s says: %s", lockFile, note)
	case pid == 0:
		d.add("lock", statusOK, "free; the last to write was: %s", note)
	case pid < 0:
		d.add("lock", statusNote, "held by a process outside of this container; %s says: %s", lockFile, note)
	default:
		d.add("lock", statusNote, "held by process %d; %s says: %s", pid, lockFile, note)
	}
}

// firstLine is the first line of a small file, of which it reads little.
func firstLine(path string) (string, error) {
	beginning, err := firstBytes(path)
	line, _, _ := strings.Cut(string(beginning), "\n")
	return line, err
}

// firstBytes is the beginning of a file.
func firstBytes(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 512))
}

// examineQuarantine lists what recoveries have set aside. It is kept for ever, so
// it is no anomaly.
func (d *doctor) examineQuarantine(p place, dir string) {
	list, err := quarantineFiles(dir)
	bytes := uint64(0)
	for _, q := range list {
		bytes += uint64(q.Bytes)
	}
	d.Quarantine = append(d.Quarantine, list...)
	switch {
	case err != nil:
		d.add("quarantine", statusUnknown, "%v", reason(err))
	case len(list) == 0:
		d.add("quarantine", statusOK, "empty")
	default:
		d.add("quarantine", statusNote, "%s, %s, such as %s: bytes that earlier repairs set aside; papyra quarantine list --store %s says more",
			count(len(list), "file"), bytesText(bytes), show(list[0].File), shellWord(p.String()))
	}
}

// quarantineFiles lists the files below a directory; none if it is not there.
func quarantineFiles(dir string) (list []quarantined, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		list = append(list, quarantined{filepath.ToSlash(name), info.Size()})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for i := range list {
		list[i].File = printable(list[i].File)
	}
	return list, err
}
