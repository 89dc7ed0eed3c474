package conformance

import (
	"runtime"
	"runtime/debug"

	"github.com/papyra-go/papyra/backend"
)

// SuiteInfo says which rules there were.
type SuiteInfo struct {
	Version string `json:"version"`
	Counted string `json:"counted"` // the newest version whose rules count: see [Pin]
	Rules   int    `json:"rules"`
	Digest  string `json:"rules_sha256"`
}

// EnvInfo says where the suite ran.
type EnvInfo struct {
	Go     string `json:"go"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPUs   int    `json:"cpus"`
	Race   bool   `json:"race"`             // under the race detector
	Papyra string `json:"papyra,omitempty"` // the version of papyra's module, if the build says it
}

const module = "github.com/papyra-go/papyra"

func environment() EnvInfo {
	env := EnvInfo{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return env
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == module {
			env.Papyra = m.Version
		}
	}
	for _, s := range info.Settings {
		env.Race = env.Race || s.Key == "-race" && s.Value == "true"
	}
	return env
}

// ClaimInfo is what the backend claims: [backend.Capabilities], in JSON.
type ClaimInfo struct {
	Durable       bool `json:"durable"`
	Shared        bool `json:"shared"`
	Repair        bool `json:"repair"`
	Quarantine    bool `json:"quarantine"`
	Compact       bool `json:"compact"`
	CompactBeside bool `json:"compact_beside"`
}

// Names returns what is claimed, as the report names it.
func (c ClaimInfo) Names() []string {
	names := []string{}
	for _, claim := range []struct {
		name string
		made bool
	}{{"durable", c.Durable}, {"shared", c.Shared}, {"repair", c.Repair}, {"quarantine", c.Quarantine}, {"compact", c.Compact}, {"compact-beside", c.CompactBeside}} {
		if claim.made {
			names = append(names, claim.name)
		}
	}
	return names
}

// LimitInfo is what an append may carry: [backend.Limits], in JSON.
type LimitInfo struct {
	RecordBytes int `json:"record_bytes"`
	BatchBytes  int `json:"batch_bytes"`
}

// learn takes from the first backend that was opened what the report says of it, and hears
// whether the others say the same.
func (s *session) learn(c *Case) {
	defer func() { _ = recover() }() // a backend that can't say what it is has failed by its rules already
	for _, b := range c.opened {
		s.hear(c.rule, says(b))
	}
	if s.claims != nil || len(c.opened) == 0 {
		return
	}
	b := c.opened[0]
	can, limits := b.Capabilities(), b.Limits()
	s.engine, s.claims, s.limits = b.Engine(), &can, LimitInfo{limits.RecordBytes, limits.BatchBytes}
}

// claimed is can in JSON; nil claims nothing.
func claimed(can *backend.Capabilities) ClaimInfo {
	if can == nil {
		return ClaimInfo{}
	}
	return ClaimInfo{can.Durable, can.Shared, can.Repair, can.Quarantine, can.Compact, can.CompactBeside}
}
