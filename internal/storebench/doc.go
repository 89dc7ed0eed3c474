// Package storebench measures stores on the machine that it runs on: durable appends,
// replay and reads of single streams, on scratch stores of any engine, in turns, so that
// a disk that is slow for a while is slow for all. Afterwards it reads back every record
// whose append was acknowledged: a rate of writes that were lost is none.
//
// The command papyra prints what it finds. The nested module bench compares papyra with
// its peers; this compares the stores that a user can choose from.
package storebench
