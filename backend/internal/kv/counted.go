package kv

import (
	"errors"

	"github.com/papyra-go/papyra/backend"
)

// noted is a Batch that notes what a recovery is about to write: the value of each key, nil if it
// goes.
type noted struct {
	keys   []string // each once
	values map[string][]byte
}

func (n *noted) Set(key, value []byte) error {
	if _, there := n.values[string(key)]; !there {
		n.keys = append(n.keys, string(key))
	}
	n.values[string(key)] = value
	return nil
}

func (n *noted) Delete(key []byte) error { return n.Set(key, nil) }

// DeleteRange is not called: what mends findings names its keys.
func (n *noted) DeleteRange(_, _ []byte) error {
	return errors.New("a recovery deletes no ranges")
}

// write writes what was noted.
func (n *noted) write(b Batch) error {
	for _, key := range n.keys {
		err := error(nil)
		if value := n.values[key]; value != nil {
			err = b.Set([]byte(key), value)
		} else {
			err = b.Delete([]byte(key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// countIn adds to what a recovery writes how many records there are then, so that a crash between
// two of its writes leaves a store whose records are all counted. Where it can't be read how many there
// were, or that is written anyway, the walk has counted them.
func (l *Log) countIn(n *noted) error {
	if _, there := n.values[string(stateKey)]; there {
		return nil
	}
	return l.engine.View(func(s Snapshot) error {
		st, err := l.readState(s)
		if errors.Is(err, backend.ErrCorrupt) {
			return nil
		}
		now, was := st.records, uint64(0)
		for _, key := range n.keys {
			if k, ok := parseStreamKey([]byte(key)); err != nil || !ok || k.part >= partHead {
				continue
			}
			var value []byte
			found := false
			if value, found, err = s.Get([]byte(key), nil); found && !isLost(value) {
				was++
			}
			if value = n.values[key]; value != nil && !isLost(value) {
				now++
			}
		}
		if err != nil || now-was == st.records {
			return err
		}
		st.records = now - min(now, was)
		return l.putState(n, &st)
	})
}
