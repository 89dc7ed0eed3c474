package main

import (
	"net"
	"testing"
)

func TestAFixedAddressIsTakenWhenItIsFree(t *testing.T) {
	l, err := net.Listen("tcp", anyAddr)
	if err != nil {
		t.Fatal(err)
	}
	taken := l.Addr().String()
	if got := freeOr(taken, anyAddr); got != anyAddr {
		t.Errorf("%s is taken: got %s, want %s", taken, got, anyAddr)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := freeOr(taken, anyAddr); got != taken {
		t.Errorf("%s is free: got %s", taken, got)
	}
}

func TestOnlyServeTakesTheReadmesAddress(t *testing.T) {
	if got := (&config{}).addr(); got != anyAddr {
		t.Errorf("without -serve: %s, want %s", got, anyAddr)
	}
	if got, want := (&config{serve: true}).addr(), freeOr(readmeAddr, anyAddr); got != want {
		t.Errorf("with -serve: %s, want %s", got, want)
	}
}
