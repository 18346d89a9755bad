package serve

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// Handler answers requests until Close, which ends what would never end by itself.
type Handler interface {
	http.Handler
	Close()
	Public(path string) bool // whether a path may be asked for without the token
}

// lastRequests is how long requests under way have to end when the program is told to stop.
const lastRequests = 10 * time.Second

// Serve answers the requests that come to a listener, with the token where there is one, until
// the context ends. Then no more are taken, and those under way are finished.
func Serve(ctx context.Context, listener net.Listener, token string, h Handler, say func(format string, args ...any)) error {
	server := &http.Server{
		Handler:           newGuard(&recovering{h, say}, listener.Addr(), token, h.Public),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       timeToRead,
		WriteTimeout:      timeToRead + timeToAnswer,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(lines(say), "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	h.Close()
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRequests)
	defer cancel()
	if err := server.Shutdown(patience); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	server.Close()
	return nil
}

// recovering answers for a handler that panics, without telling how.
type recovering struct {
	next http.Handler
	say  func(format string, args ...any)
}

func (h *recovering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			h.say("%s %s: %v\n%s", r.Method, r.URL.Path, p, debug.Stack())
			fail(w, http.StatusInternalServerError, "the program could not answer; its own messages say why")
		}
	}()
	h.next.ServeHTTP(w, r)
}

// lines passes each line on to say.
type lines func(format string, args ...any)

func (l lines) Write(p []byte) (int, error) {
	l("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// Listen opens an address. A port of 0 is any that is free.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w: another program may have it; --addr 127.0.0.1:0 takes a port that is free", addr, err)
	}
	return l, nil
}
