// Command bank is an HTTP service of durable accounts on any papyra store: the
// example of an application that must not lose or invent a cent.
//
//	go run ./examples/bank -store file:///tmp/bank -addr 127.0.0.1:8080
//
// Each account and each transfer is a durable actor. An account's history is its
// stream; a transfer moves its money in two steps that it takes up again after any
// crash. README.md lists the requests. The bank has no users and no passwords: keep
// it on loopback.
//
// Where to read next: account.go and move.go (the actor), transfer.go and courier.go
// (a process over several actors), routes.go and answers.go (HTTP). Package
// examples/bank/drive kills this program under load and checks every account.
package main
