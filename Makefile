# papyra: `make` prints this help. Everything here runs on a fresh machine with Go,
# make and gcc; what else is needed is fetched by the go command.

GO      ?= go
ARGS    ?=
STORE   ?= file
COUNT   ?= 1
FUZZTIME ?= 20s
# Rot is enumerated, which the race detector makes ten times slower, and finds nothing in.
ROT      = TestAny(FlippedBit|DamagedKey|DamagedValue|MissingKey|ValueOfAnotherKey)|TestALostSectorIsNoticed|TestACutFileIsNoticed|TestASwappedPageIsNoticed
# Tests of conformance that judge memory by the whole suite for what a report then says: under the race
# detector backend/memory's own test does.
JUDGED   = TestAProfileSaysWhatMayNotBeLeftOut|TestAMissingSeamIsUnavailableAndSaid|TestAProvisionalRuleCountsWithStrictOnly|TestAWaiverHoldsUntilItsDay|TestARuleThatIsNewIsReportedAndNotCounted|TestTheJSONReportIsStable
RUNS    ?= 1000
PKGS     = ./...
ATTACKED = ./backend/file ./backend/file/internal/attack ./backend/bolt ./backend/pebble ./backend/internal/kv

.DEFAULT_GOAL := help
.PHONY: help run test check race cover fuzz crash mutants counts conformance flakes man bench bench-long tidy clean

help: ## print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## drive the bank over HTTP on a store of the engine STORE (default file), kill it three times, check every account (ARGS=-serve leaves it serving)
	$(GO) run ./examples/bank/drive -store $(STORE) $(ARGS)

test: check ## everything that must hold: vet, architecture, all tests with the attacks' counts, race, mutants, the nested modules
	$(GO) test -count=$(COUNT) $$($(GO) list $(PKGS) | grep -vxE '.*/backend/file|.*/backend/file/internal/attack|.*/backend/bolt|.*/backend/pebble|.*/backend/internal/kv|.*/conformance/selftest')
	$(GO) test -count=1 -short ./conformance/selftest
	$(GO) test -count=1 -v -timeout=30m $(ATTACKED) | $(GO) run ./backend/internal/counts -
	$(GO) test -count=1 -race -short -timeout=10m -skip='Conformance|$(ROT)' ./backend/pebble
	$(GO) test -count=1 -race -short -timeout=30m -skip='$(JUDGED)|$(ROT)' $$($(GO) list ./backend/... | grep -v '/backend/pebble$$') ./actorsys/... ./conformance ./conformance/model ./conformance/linearize
	$(GO) run ./backend/internal/mutants -short
	cd bench && $(GO) vet ./... && $(GO) test -short ./...
	cd examples/custombackend && $(GO) vet ./... && $(GO) test -short ./...

check: ## gofmt, go vet, the floors of the house
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(PKGS)
	$(GO) test -count=1 .

race: ## all tests under the race detector
	$(GO) test -count=1 -race $(PKGS)

cover: ## coverage by package, and cover.html
	$(GO) test -count=1 -coverprofile=cover.out $(PKGS)
	$(GO) tool cover -html=cover.out -o cover.html
	$(GO) tool cover -func=cover.out | tail -1

fuzz: ## every fuzz target for FUZZTIME (default 20s) each
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -rhoE '^func (Fuzz[A-Za-z0-9_]*)' $$dir/*_test.go | awk '{print $$2}'); do \
			echo "$$dir $$target"; $(GO) test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) $$dir; \
		done; \
	done

crash: ## the long sweeps: crashes, failures, rot, SIGKILL, power cuts, full disks (an hour; power cuts need root)
	PAPYRA_LONG=1 $(GO) test -count=1 -v -timeout=180m -skip=Conformance $(ATTACKED) ./examples/bank/drive

mutants: ## break papyra in each of the listed ways and see a test fail (minutes)
	$(GO) run ./backend/internal/mutants $(ARGS)

counts: ## run the attack suites (PAPYRA_LONG=1: the long ones) and write what they counted into docs/durability.md
	$(GO) test -count=1 -v -timeout=180m -skip=Conformance $(ATTACKED) | $(GO) run ./backend/internal/counts docs/durability.md

conformance: ## the conformance suite on every engine, each rule and mutant by name
	$(GO) test -count=1 -v -timeout=60m ./conformance/... ./backend/memory/... ./backend/file/... ./backend/internal/...
	PAPYRA_LONG=1 $(GO) test -count=1 -v -timeout=60m -run=Conformance ./backend/bolt ./backend/pebble
	cd examples/custombackend && $(GO) test -count=1 -v -run TestConformance .

man: ## write the manual pages of the command into bin/man
	$(GO) run ./cmd/papyra man bin/man

flakes: ## run the suite RUNS times (default 1000) on memory, a tenth of it on file, and count each rule's verdicts
	$(GO) run ./cmd/papyra conformance --store memory:// --strict --repeat $(RUNS) --jobs $$(nproc)
	@dir=$$(mktemp -d) && $(GO) run ./cmd/papyra conformance --store file://$$dir --strict --repeat $$(( ($(RUNS) + 9) / 10 )); code=$$?; rmdir $$dir; exit $$code

bench: ## durable appends, replay, reads, disk and growth beside eight peers and the raw disk, in one run (ten minutes); writes docs/bench.svg with ARGS="-plot ../docs/bench.svg"
	cd bench && $(GO) run . $(ARGS)

bench-long: ## the same with ten million records, ten million streams, and minutes of sustained writes
	cd bench && $(GO) run . -long $(ARGS)

tidy: ## go mod tidy, here and in the nested modules
	$(GO) mod tidy
	cd bench && $(GO) mod tidy
	cd examples/custombackend && $(GO) mod tidy

clean: ## remove what make has built
	rm -rf bin cover.out cover.html .tmp
