// Package attack holds tests alone: they attack the file engine through its public API
// with what the machine itself can do to it. Processes are killed with SIGKILL, ext4 on
// a loop device loses its power (FS_IOC_SHUTDOWN), disks fill up, syncs fail because the
// disk below a loop device is full, files are flipped byte by byte. A ledger in the
// parent process says what was acknowledged; a store is right if it holds all of that,
// and nothing else but whole batches that were in flight.
//
// The tests know of the engine only what docs/file-format.md and docs/durability.md say.
// Segments are small, so that packing, compactions and deletions go on all the time beside
// the appends. What needs root, loop devices or mounts is skipped with its reason, or fails where
// PAPYRA_REQUIRE names it (PAPYRA_REQUIRE=root). As root, the tests run in a mount
// namespace of their own: whatever becomes of them, the mounts and loop devices go with
// it. PAPYRA_LONG=1 asks for the long forms. Each test logs one line that begins with
// "attack:", for scripts.
//
// Where to read next: ledger_test.go for what is checked, child_test.go for what is
// killed, packing_test.go for what becomes of full segments.
package attack
