// Command drive shows, from outside, that the bank loses nothing and invents nothing.
// It is what "make run" starts.
//
// It builds the bank, starts it on a file store in a temporary folder, lets 64 clients
// deposit, withdraw and transfer over HTTP, kills the bank with SIGKILL three times in
// the middle of that and starts it again each time. Every client keeps a ledger of what
// it has sent and what it was answered; what it was not answered it sends again, with
// the same id, until it is. Then the histories of all accounts are read over HTTP and
// held against the ledgers, the bank is ended, and its store is scanned.
//
// It exits with 0 only if nothing was lost, invented or stuck and the scan is clean.
//
// Where to read next: run.go (what happens when), client.go and load.go (the clients),
// audit.go (the check).
package main
