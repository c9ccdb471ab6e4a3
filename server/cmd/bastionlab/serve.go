package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

func newServeCommand() *cobra.Command {
	var s settings
	var show bool
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Run the server until it is interrupted. A second interrupt ends it at once; what was charged stays charged.\n\n" +
			"Every flag is also an environment variable BASTIONLAB_<NAME> and a line `name = value` of the file that --config names.",
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			sayMisspelt(command, os.Environ())
			if err := s.complete(command, os.LookupEnv); err != nil {
				return err
			}
			if show {
				return printSettings(command, s)
			}
			return serve(command.Context(), s, command.ErrOrStderr(), openLauncher)
		},
	}
	s.register(command.Flags())
	command.Flags().BoolVar(&show, printConfig, false, "print every setting with its value and where that comes from, and serve nothing")
	return command
}

// serve starts everything in one order and stops it in the reverse, when ctx is done or the listeners fail.
func serve(ctx context.Context, s settings, stderr io.Writer, start startTrainers) (err error) {
	log, err := newLog(s.logLevel, s.logFormat, stderr)
	if err != nil {
		return err
	}
	ready := false
	defer func() {
		if err != nil && !ready && ctx.Err() != nil {
			log.InfoContext(ctx, "stopped before it was ready", "during", err)
			err = nil
		}
	}()
	list, beyondLoopback, err := addresses(s.listen)
	if err != nil {
		return err
	}
	watched, err := openStation(ctx, s, log)
	if err != nil {
		return err
	}
	defer watched.close(ctx)
	// Storage, ledger, trainer, catalogues, runs.
	d, err := openDomain(ctx, s, log, watched, start)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, d.close()); err == nil && ctx.Err() != nil {
			log.InfoContext(ctx, "stopped")
		}
	}()
	if err := checkReach(d.registry.Development(), s.development, beyondLoopback); err != nil {
		return err
	}
	certificate, err := server.NewCertificate()
	if err != nil {
		return err
	}
	proof, err := openProof(ctx, s, d, certificate.Leaf.RawSubjectPublicKeyInfo, log)
	if err != nil {
		return err
	}
	// Under a context of its own, as the runs below: they end after the calls under way.
	defer alongside(ctx, proof.Serve)()
	if err := checkProof(ctx, proof, certificate.Leaf.RawSubjectPublicKeyInfo); err != nil {
		return err
	}
	front, err := server.New(server.Config{
		Certificate: certificate, Log: log, Evidence: proof, Audit: d.trail, Boot: d.boot,
		Sessions: d.sessions, Users: d.users, Datasets: d.datasets, Models: d.models, Training: d.runs, Receipts: d.receipts, Observe: watched,
	})
	if err != nil {
		return err
	}
	defer watched.show(d, front)()
	defer alongside(ctx, d.runs.Serve)()
	network, err := listen(ctx, list)
	if err != nil {
		return err
	}
	local, err := d.socket.listen(ctx)
	if err != nil {
		closeAll(network)
		return err
	}
	if d.registry.Development() {
		warn(ctx, log, terminalOf(stderr), beyondLoopback)
	} else if err := welcome(ctx, log, d.registry); err != nil {
		closeAll(append(network, local))
		return err
	}
	if s.cuda {
		warnOfGPU(ctx, log, terminalOf(stderr))
	}
	log.InfoContext(ctx, "ready", "version", version.Number, "listen", names(network), "data_dir", s.dataDir)
	ready = true
	tellManager(ctx, log, daemon.SdNotifyReady)
	return answer(ctx, front, network, local, s.drainTime, log)
}

// alongside runs work until the function that it returns is called, which waits for its end.
func alongside(ctx context.Context, work func(context.Context)) (end func()) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work(ctx)
	}()
	return func() {
		stop()
		<-ended
	}
}

// tellManager tells the service manager, where there is one, how far the server is.
func tellManager(ctx context.Context, log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.WarnContext(ctx, "the service manager cannot be told", "state", state, "error", err)
	}
}

// answer serves until ctx is done or a listener fails, and returns when no call is under way any more.
func answer(ctx context.Context, front *server.Server, network []net.Listener, local net.Listener, drainTime time.Duration, log *slog.Logger) error {
	var err error
	served := make(chan struct{})
	go func() {
		defer close(served)
		err = front.Serve(network, local)
	}()
	select {
	case <-served:
	case <-ctx.Done():
	}
	log.InfoContext(ctx, "stopping", "calls_may_take_seconds", drainTime.Seconds(), "second_signal", "ends the process at once")
	tellManager(ctx, log, daemon.SdNotifyStopping)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	front.Stop(drain)
	<-served
	return err
}

func newLog(level, format string, to io.Writer) (*slog.Logger, error) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return nil, refuseSetting("log-level", "debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: parsed}
	if format == "text" {
		return slog.New(slog.NewTextHandler(to, options)), nil
	}
	return slog.New(slog.NewJSONHandler(to, options)), nil
}

func names(listeners []net.Listener) []string {
	list := make([]string, 0, len(listeners))
	for _, listener := range listeners {
		list = append(list, fmt.Sprint(listener.Addr()))
	}
	return list
}
