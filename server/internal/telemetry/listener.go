package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	// Whoever can reach the listener can ask; what they can hold is bounded.
	maxConnections = 32
	maxScrapes     = 4
	headerTime     = 5 * time.Second
	answerTime     = 15 * time.Second
	maxHeaderBytes = 8 << 10
)

// Pages answers the three questions of the listener. ready says why a server is not ready; nil where it is.
func Pages(m *Metrics, ready func() error, log *slog.Logger) http.Handler {
	pages := http.NewServeMux()
	pages.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: answerTime, ErrorLog: scrapeLog{log},
		// One figure that cannot be read does not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
	}))
	pages.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	pages.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return pages
}

// Serve answers on a listener until ctx is done. It owns the listener.
func Serve(ctx context.Context, listener net.Listener, pages http.Handler) {
	server := &http.Server{Handler: pages, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: 2 * answerTime, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeaderBytes}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(netutil.LimitListener(listener, maxConnections)) // it ends when it is closed
	}()
	<-ctx.Done()
	_ = server.Close()
	<-ended
}

// scrapeLog writes what went wrong while metrics were gathered.
type scrapeLog struct{ log *slog.Logger }

func (l scrapeLog) Println(v ...any) {
	l.log.Error("metrics cannot be gathered in full", "error", fmt.Sprint(v...))
}
