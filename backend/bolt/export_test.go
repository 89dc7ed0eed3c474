package bolt

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

// MakeNewer makes a store's file say that a newer version wrote it.
func MakeNewer(name string) error {
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		id := append([]byte("papyrakv\x00\x00\x00\x02"), "what a newer version says of itself"...)
		id = seal(id)
		if err := tx.Bucket([]byte("meta")).SetSequence(uint64(tx.ID())); err != nil {
			return err
		}
		return errors.Join(tx.Bucket([]byte("meta")).Put([]byte("\x00i"), id), tx.Bucket([]byte("names")).Put([]byte("s"), id))
	})
	return errors.Join(err, db.Close())
}
