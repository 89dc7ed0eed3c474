package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Time-outs of the server. A request has requestTimeout for its work.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 15 * time.Second
	writeTimeout    = 60 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 20 * time.Second
	maxHeader       = 16 << 10
)

// serve opens the store, prints the bound address and serves until ctx ends. Then it
// answers what it has accepted, and closes everything in order.
func serve(ctx context.Context, url, addr string, out io.Writer) (err error) {
	store, err := backend.OpenWith(ctx, url, nil)
	if err != nil {
		if errors.Is(err, backend.ErrInvalid) {
			return usageError{fmt.Errorf("-store: %w", err)}
		}
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	b, err := newBank(ctx, store, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, b.close(ctx))
	}()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	return serveOn(ctx, l, newHandler(b))
}

// serveOn serves on a listener until ctx ends, and waits for what is being answered.
func serveOn(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return server.Shutdown(ctx)
}
