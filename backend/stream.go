package backend

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// SystemPrefix begins the names of the streams in which an actor system keeps
// its own facts:
//
//	$sys/<system>/lifecycle   $sys/<system>/audit   $sys/<system>/deadletter
//
// No other name may begin with it.
const SystemPrefix = "$sys/"

// SystemStream returns the name of the stream that holds the facts of one kind
// (Lifecycle, Audit or DeadLetter) of the named actor system.
func SystemStream(system string, k Kind) string {
	return SystemPrefix + system + "/" + k.String()
}

// KindOf returns the kind of numbered record that the stream holds: a system
// stream its own, any other events. A stream holds no other kind, except that
// snapshots stand beside a stream of events.
func KindOf(stream string) Kind {
	rest, system := strings.CutPrefix(stream, SystemPrefix)
	if !system {
		return Event
	}
	switch rest[strings.LastIndexByte(rest, '/')+1:] {
	case "lifecycle":
		return Lifecycle
	case "audit":
		return Audit
	case "deadletter":
		return DeadLetter
	}
	return 0
}

// CheckStream reports, as [ErrInvalid], why name can't name a stream. A name is
// 1 to [MaxStreamBytes] bytes of valid UTF-8 without NUL. It is opaque
// otherwise: "/", "..", case, accents and emoji mean nothing, names are equal
// when their bytes are, and are ordered by their bytes. Only [SystemPrefix] is
// reserved.
func CheckStream(name string) error {
	if err := checkName("stream name", name, MaxStreamBytes); err != nil {
		return err
	}
	if name == "" {
		return fmt.Errorf("%w: stream name is empty", ErrInvalid)
	}
	if !strings.HasPrefix(name, SystemPrefix) {
		return nil
	}
	system := strings.TrimPrefix(name, SystemPrefix)
	if i := strings.LastIndexByte(system, '/'); KindOf(name) == 0 || i <= 0 {
		return fmt.Errorf("%w: stream name %.80q: names that begin with %q are %slifecycle, audit and deadletter of a named system", ErrInvalid, name, SystemPrefix, SystemPrefix+"<system>/")
	}
	return nil
}

func checkName(what, s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("%w: %s of %d bytes: at most %d", ErrInvalid, what, len(s), limit)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%w: %s %.80q holds a NUL byte", ErrInvalid, what, s)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %s %.80q is not valid UTF-8", ErrInvalid, what, s)
	}
	return nil
}
