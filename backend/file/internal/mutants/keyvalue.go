package main

// The packages of the engines over keys and values.
const (
	inBolt = "backend/bolt"
	inKV   = "backend/internal/kv"
)

// keyValue are the mutants of bolt, and of what it shares with engines of its kind.
var keyValue = []mutant{
	{name: "bolt: commits are not synced", promise: "P1", file: "backend/bolt/open.go",
		old: "NoFreelistSync: true, FreelistType:", new: "NoFreelistSync: true, NoSync: true, FreelistType:",
		pkg: inBolt, test: "TestAFailedSyncPoisons", fast: true},
	{name: "bolt: a full disk poisons", promise: "P8", file: "backend/bolt/write.go",
		old: "case noSpace(err) && !syncFailed(err) && e.poison.Load() == nil:", new: "case false:",
		pkg: inBolt, test: "TestAFullDiskHeals", fast: true},
	{name: "bolt: a sync that says no space is healed", promise: "P7", file: "backend/bolt/write.go",
		old: "case noSpace(err) && !syncFailed(err) &&", new: "case noSpace(err) &&",
		pkg: inBolt, test: "TestAFailedCommitIsJudgedByTheMetaPage"},
	{name: "bolt: bbolt gets damaged pages", promise: "P3", file: "backend/bolt/open.go",
		old: "if len(t.findings) > 0 {", new: "if false {",
		pkg: inBolt, test: "TestAnyFlippedBitOfAPagesHeaderIsNoticed"},
	{name: "bolt: a fault is not caught", promise: "P6", file: "backend/bolt/engine.go",
		old: "before := debug.SetPanicOnFault(true)", new: "before := debug.SetPanicOnFault(false)",
		pkg: inBolt, test: "TestAFaultIsAnErrorAndPoisons"},
	{name: "bolt: a record in the root's page is said to be elsewhere", promise: "P6", file: "backend/bolt/locate.go",
		old: "+ int64(at+bucketSize+in)", new: "+ int64(at+in)",
		pkg: inBolt, test: "TestAValueIsWhereItIsSaidToBe", fast: true},

	{name: "keys and values: checksums are not compared", promise: "P3", file: "backend/internal/kv/value.go",
		old: "if s.of(key, value[:n]) != binary.BigEndian.Uint32(value[n:]) {", new: "if false {",
		pkg: inKV, test: "TestAnyDamagedValueIsNoticedAndLosesOneRecordAtMost"},
	{name: "keys and values: a checksum without its key", promise: "P3", file: "backend/internal/kv/value.go",
		old: "return crc32.Update(crc32.Update(uint32(s), castagnoli, key), castagnoli, value)", new: "return crc32.Update(uint32(s), castagnoli, value)",
		pkg: inKV, test: "TestAnyValueOfAnotherKeyIsNoticed"},
	{name: "keys and values: a position that is missing is passed over", promise: "P4", file: "backend/internal/kv/places.go",
		old: "if uint64(pl.before) >= r.q.From {", new: "if false {",
		pkg: inKV, test: "TestAnyMissingKeyIsNoticedAndLosesOneRecordAtMost"},
	{name: "keys and values: a new stream's name is not noted", promise: "P4", file: "backend/internal/kv/append.go",
		old: "if fresh[name] || h.Unreadable() {", new: "if h.Unreadable() {",
		pkg: inKV, test: "TestAnErrorOrACrashAtAnyWriteLosesNothing"},
}
