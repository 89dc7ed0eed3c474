// Package papyra is the front door of a library that makes actors durable on the
// storage of your choice. It holds no code. Read on in this order:
//
//   - package actorsys: durable actors, the part that most programs use
//   - package backend: the contract with storage: append, read, scan, recover, compact
//   - packages backend/memory, backend/file, backend/bolt and backend/pebble: engines,
//     chosen by import
//   - package conformance: the suite that every engine passes, and yours can
//   - package metrics: the counters that every backend shares
//   - command cmd/papyra: the operators' tools
//
// README.md has an actor in thirty lines; docs/design.md says why things are as
// they are, docs/durability.md what is promised.
package papyra
