package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// facts is what holds for a data directory as long as it exists.
type facts interface {
	Fact(ctx context.Context, name string) (value []byte, known bool, err error)
	SetFact(ctx context.Context, name string, value []byte) error
}

// chooseMode decides, once for a data directory, whether it is one for development, in which every key is accepted. A machine with a TEE
// is one for real data: there it must be said. The first user who is registered closes it for good (see identity.Registry), whatever is said.
func chooseMode(ctx context.Context, kept facts, allowed bool, exists func(path string) bool) (development bool, err error) {
	value, known, err := kept.Fact(ctx, storage.ModeFact)
	if err != nil {
		return false, err
	}
	if known {
		switch string(value) {
		case storage.ModeRegistered:
			return false, nil
		case storage.ModeDevelopment:
			return true, nil
		}
		return false, refusal.New(refusal.Unavailable, "serve it with the release that wrote it, or a later one", "this data directory is in a mode which this release does not know")
	}
	mode := storage.ModeDevelopment
	if attestation.Device(exists) != "" && !allowed {
		mode = storage.ModeRegistered
	}
	return mode == storage.ModeDevelopment, kept.SetFact(ctx, storage.ModeFact, []byte(mode))
}

// storageSetting is a storage level, or empty where none was said.
type storageSetting storage.Level

func (l *storageSetting) String() string { return string(*l) }

func (l *storageSetting) Type() string { return "level" }

// Set takes the levels that there are.
func (l *storageSetting) Set(text string) error {
	if text != string(storage.File) && text != string(storage.Memory) {
		return errors.New("expected file or memory")
	}
	*l = storageSetting(text)
	return nil
}

// storageLevel is what was said, or what the machine is for: in a TEE the disk is the host's, and what it holds must not depend on a key that
// lies on it too.
func (s *settings) storageLevel(exists func(path string) bool) storage.Level {
	if s.storage != "" {
		return storage.Level(s.storage)
	}
	if attestation.Device(exists) != "" {
		return storage.Memory
	}
	return storage.File
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// checkReach refuses to offer a server that believes every key to a whole network, unless that was said. Where identities are registered nothing need be said.
func checkReach(development, allowed, beyondLoopback bool) error {
	if development && beyondLoopback && !allowed {
		return refusal.New(refusal.InvalidArgument, "register users with `bastionlab user add`, or listen on 127.0.0.1, or add --development if that is what you want",
			"this server is in development mode, in which every key is accepted, and was told to listen beyond this machine")
	}
	return nil
}

// checkSandbox makes a missing layer of the trainer's sandbox a warning in development mode, and a reason not to serve otherwise.
func checkSandbox(ctx context.Context, log *slog.Logger, missing []string, development bool) error {
	if len(missing) == 0 {
		return nil
	}
	if !development {
		return refusal.New(refusal.Unavailable, "run `bastionlab doctor` to see what this machine lacks",
			"the trainer's sandbox lacks %s, and real data are not given to such a trainer", strings.Join(missing, ", "))
	}
	log.WarnContext(ctx, "the trainer's sandbox is incomplete; without development mode this server would not start", "missing", missing)
	return nil
}

// welcome says who may sign in where not everybody may.
func welcome(ctx context.Context, log *slog.Logger, registry *identity.Registry) error {
	users, err := registry.List(ctx)
	if err != nil {
		return err
	}
	admitted := 0
	for _, user := range users {
		if user.Roles != 0 && !user.Revoked {
			admitted++
		}
	}
	if admitted == 0 {
		log.WarnContext(ctx, "nobody is registered, so nobody can sign in: add users with `bastionlab user add` on this machine")
		return nil
	}
	log.InfoContext(ctx, "registered identities", "users", admitted)
	return nil
}

// warn says what development mode means, to the log and to a person who is looking.
func warn(ctx context.Context, log *slog.Logger, terminal io.Writer, beyondLoopback bool) {
	reach := "Only this machine can reach it."
	if beyondLoopback {
		reach = "IT CAN BE REACHED FROM BEYOND THIS MACHINE."
	}
	log.WarnContext(ctx, "development mode: every key is accepted, and a dataset is open to all unless its owner says otherwise", "beyond_loopback", beyondLoopback)
	if terminal != nil {
		fmt.Fprintf(terminal, "\n  DEVELOPMENT MODE\n  Every key is accepted, and a dataset is open to all unless its owner says otherwise.\n  %s\n  Use it with data that need no protection.\n\n", reach)
	}
}

// terminalOf is the writer itself if a person may be reading it, else nil: a log that a program reads stays JSON.
func terminalOf(w io.Writer) io.Writer {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return w
}
