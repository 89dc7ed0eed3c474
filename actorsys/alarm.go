package actorsys

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// alarmType is the type of the record by which an actor's alarm changes. It stands in the
// actor's own stream, last in its turn, so that it is stored together with the turn's
// events or not at all.
const (
	alarmType   = "$alarm"
	alarmSchema = 1
	alarmKey    = "$alarm" // in the Meta of a snapshot: the alarm as of its version
)

// alarm is when one is due, in nanoseconds since 1970; 0: there is none. One that is due
// before 1970 is due in its first nanosecond.
type alarm int64

func alarmAt(at time.Time) alarm {
	if at.IsZero() {
		return 0
	}
	if at.Before(time.Unix(0, 1)) {
		return 1
	}
	return alarm(at.UnixNano())
}

// time is the zero Time if there is no alarm.
func (a alarm) time() time.Time {
	if a == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(a)).UTC()
}

// alarmPayload is what a record of alarmType holds; At is left out if there is no alarm
// any more.
type alarmPayload struct {
	At time.Time `json:"at,omitzero"`
}

// latestAlarm is the last that a record can hold.
var latestAlarm = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// Alarm sets the actor's alarm: at that time, or soon after, [Options.Alarm] is run on
// it. It is stored with the turn, survives the process, and brings an actor to memory that
// has left it. An actor has one alarm: setting it again moves it, the zero time takes it
// back, and when it has rung and its command has run it is gone, unless that set the next.
//
// The command is run at least once: what it records and the end of the alarm are stored
// together, so that it runs again only if that was not stored, such as after a kill in
// between. An error or a panic has it run again, after pauses from a second up to a
// minute. An alarm in the past rings at once. Only a durable actor of a kind with
// Options.Alarm has one: otherwise the turn fails. A turn that changes the alarm adds a
// version of its own to the stream.
func (t *Turn) Alarm(at time.Time) {
	switch {
	case t.self != nil:
		t.refuse(fmt.Errorf("%w: a plain actor has no alarm: see Turn.Timer", backend.ErrInvalid))
	case t.bells == nil:
		t.refuse(fmt.Errorf("%w: the actor %q has no command for an alarm: set Options.Alarm", backend.ErrInvalid, t.address))
	case at.After(latestAlarm):
		t.refuse(fmt.Errorf("%w: an alarm at %v: at most %v", backend.ErrInvalid, at, latestAlarm))
	default:
		t.wants, t.sets = alarmAt(at), true
	}
}

// toll is what a turn means for its actor's alarm.
type toll struct {
	version backend.Version // of the actor after the turn
	at      alarm
}

// early reports whether a letter is an alarm that is not due, because another turn has
// moved it meanwhile.
func (a *actor[S]) early(t *Turn, l *letter[S]) bool {
	if !l.rings {
		return false
	}
	due := a.alarm != 0 && a.alarm <= alarmAt(t.now)
	if !due {
		t.toll = &toll{t.version, a.alarm}
	}
	return !due
}

// settleAlarm adds the record by which the turn changes the alarm, if it does.
func (a *actor[S]) settleAlarm(t *Turn, rings bool) {
	if !rings && (!t.sets || t.wants == a.alarm) {
		return
	}
	payload, err := json.Marshal(alarmPayload{t.wants.time()})
	if err != nil { // a time between 1970 and 2262 can be encoded
		panic(err)
	}
	t.records = append(t.records, backend.Record{Kind: backend.Event, Type: alarmType, Schema: alarmSchema, Time: t.now, Payload: payload})
	t.toll = &toll{t.version + backend.Version(len(t.records)), t.wants}
}

// alarmAfter is the actor's alarm after the turn.
func (a *actor[S]) alarmAfter(t *Turn) alarm {
	if t.toll != nil {
		return t.toll.at
	}
	return a.alarm
}

// readAlarm returns the alarm that a stored record sets; false if it is none.
func readAlarm(r *backend.Record) (at alarm, is bool, err error) {
	if r.Type != alarmType || r.Schema != alarmSchema {
		return 0, false, nil
	}
	var p alarmPayload
	if err := json.Unmarshal(r.Payload, &p); err != nil {
		return 0, false, &undecodableError{fmt.Errorf("stream %q version %d: decoding an alarm: %w", r.Stream, r.Version, err)}
	}
	return alarmAt(p.At), true, nil
}

// alarmOf is the alarm as of a snapshot.
func alarmOf(snapshot *backend.Record) (alarm, error) {
	text, ok := snapshot.Meta.Get(alarmKey)
	if !ok {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("its alarm: %w", err)
	}
	return alarmAt(at), nil
}

// meta is what a snapshot keeps of an alarm.
func (a alarm) meta() backend.Meta {
	if a == 0 {
		return nil
	}
	meta, err := backend.MakeMeta(alarmKey, a.time().Format(time.RFC3339Nano))
	if err != nil { // the pair is well formed
		panic(err)
	}
	return meta
}

// ringing is a letter's asker: nobody but the bells waits for an alarm.
type ringing[S any] struct {
	bells *bells
	id    string
}

func (r *ringing[S]) keep(S) {}

func (r *ringing[S]) answer(err error) { r.bells.rung(r.id, err) }

// ring sends an actor its alarm's command.
func (k *Kind[S]) ring(id string) error {
	return k.deliver(id, &letter[S]{cmd: k.opts.Alarm, ctx: k.sys.ctx, ask: &ringing[S]{k.bells, id}, rings: true})
}
