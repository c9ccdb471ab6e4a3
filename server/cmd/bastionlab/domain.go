package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/audit"
	"github.com/bastionlab/bastionlab/server/internal/dataset"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
	"github.com/bastionlab/bastionlab/server/internal/training"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

const (
	concurrentRuns = 1
	maxQueuedRuns  = 256
	maxIntakes     = 2
)

// domain is all that stands behind the services, in the order in which it is opened.
type domain struct {
	store    *storage.Store
	socket   localSocket
	registry *identity.Registry
	users    users
	boot     string // of this start, as receipts name it
	ledger   *ledger.Ledger
	closings *ledger.Closings
	sessions *identity.Sessions
	datasets datasets
	models   models
	runs     *training.Service
	receipts receipts
	audit    *audit.Log
	trail    trail
	station  *station
}

// startTrainers makes the launcher that a server uses.
type startTrainers func(ctx context.Context, s settings, log *slog.Logger, development bool, failed func(task, reason string)) (trainers, error)

// openDomain opens the data directory, looks at the trainer and ends what the last server left. What fails closes what was open.
func openDomain(ctx context.Context, s settings, log *slog.Logger, watched *station, start startTrainers) (d *domain, err error) {
	d = &domain{station: watched}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.store, err = storage.Open(ctx, s.dataDir, s.storageLevel(fileExists)); err != nil {
		return d, withFix(err, "give this user a directory to write to, with --data-dir")
	}
	if d.socket, err = openLocalSocket(d.store.Dir()); err != nil {
		return d, err
	}
	development, err := chooseMode(ctx, d.store, s.development, fileExists)
	if err != nil {
		return d, err
	}
	if d.registry, err = identity.OpenRegistry(ctx, d.store, development, nil); err != nil {
		return d, err
	}
	d.boot = storage.NewID()
	if err := d.openLedger(ctx, log); err != nil {
		return d, err
	}
	found := d.ledger.Opening()
	log.InfoContext(ctx, "ledger opened", "records", found.Records, "adopted", found.Adopted, "dropped_bytes", found.DroppedBytes)
	d.audit, err = audit.Open(audit.Config{Dir: d.store.Dir(), Mark: d.store.AuditMark(), Room: d.store.Room, Log: log})
	if err != nil {
		return d, withFix(err, "put back the newest copy of the data directory that is whole, or keep these files and begin a new log with `bastionlab audit --renew` (docs/audit.md)")
	}
	l, err := start(ctx, s, log, d.registry.Development(), watched.trainerFailed)
	if err != nil {
		return d, err
	}
	err = d.openServices(ctx, s, log, l)
	d.users = users{d.registry, l.Missing(), d.runs, log}
	return d, err
}

// openLedger goes on with the directory's ledger, or where its key ended with the last start, begins one and keeps what that one closed.
func (d *domain) openLedger(ctx context.Context, log *slog.Logger) (err error) {
	if d.store.Level() == storage.File {
		d.closings = &ledger.Closings{}
		if d.ledger, err = ledger.Open(d.store.Dir(), d.store.LedgerMark(), d.writer()); err != nil {
			return withFix(err, "put back the ledger that belongs to this directory: without it nobody knows what was spent, and nothing may be trained on")
		}
		return nil
	}
	if d.ledger, err = ledger.OpenAnew(d.store.Dir(), d.store.LedgerMark(), d.writer()); err != nil {
		return withFix(err, "make the data directory one that this user can write to")
	}
	if d.closings, err = ledger.ReadClosings(d.store.Dir()); err != nil {
		return withFix(err, "make the folder "+ledger.AsideFolder+" of the data directory one that this user can read")
	}
	if d.closings.LeftOut {
		log.WarnContext(ctx, "there are more closed accounts of earlier starts than are kept: owners of the oldest have to count them as spent")
	}
	return nil
}

// ledgerPurpose is the purpose of the key that receipts are signed with.
const ledgerPurpose = "bastionlab ledger signing 1"

// writer is who writes the ledger, and signs it.
func (d *domain) writer() ledger.Writer {
	return ledger.Writer{
		Key:    ledgerKey(d.store.DeriveKey),
		Origin: receipt.Origin{Boot: d.boot, Level: string(d.store.Level()), Release: version.Number}, Development: d.registry.Development,
		Written: d.station.ledgerWritten,
	}
}

// ledgerKey is made of the directory's secret: it is lost with what it vouches for, and not before.
func ledgerKey(derive func(purpose string) [32]byte) ed25519.PrivateKey {
	seed := derive(ledgerPurpose)
	return ed25519.NewKeyFromSeed(seed[:])
}

// openLauncher starts one trainer of each device that tries to break out, and judges what held.
func openLauncher(ctx context.Context, s settings, log *slog.Logger, development bool, failed func(task, reason string)) (trainers, error) {
	if err := s.checkGPU(); err != nil {
		return nil, err
	}
	l, report, err := probe(ctx, s, log, failed)
	if err != nil {
		return nil, refusal.New(refusal.Unavailable, "run `bastionlab doctor`; `make` builds the two programs that belong together", "the trainer %s does not work: %s", s.trainer, err)
	}
	log.InfoContext(ctx, "trainer probed", "path", s.trainer, "torch", report.TorchVersion, "missing", report.Missing())
	opened := launcher{l, report.Missing()}
	if err := checkSandbox(ctx, log, opened.missing, development); err != nil || !s.cuda {
		return opened, err
	}
	missing, err := openGPU(ctx, l, s, log, development)
	for _, layer := range missing {
		if !slices.Contains(opened.missing, layer) {
			opened.missing = append(opened.missing, layer)
		}
	}
	return opened, err
}

func newLauncher(s settings, log *slog.Logger, failed func(task, reason string)) (*supervisor.Launcher, error) {
	return supervisor.New(supervisor.Config{
		Path: s.trainer, CUDAPath: s.cudaTrainer(), Threads: s.threads, MemoryLimitBytes: int64(s.memoryLimit), Log: log, Failed: failed,
	})
}

func probe(ctx context.Context, s settings, log *slog.Logger, failed func(task, reason string)) (*supervisor.Launcher, supervisor.Report, error) {
	l, err := newLauncher(s, log, failed)
	if err != nil {
		return nil, supervisor.Report{}, err
	}
	report, err := l.Probe(ctx, supervisor.CPU)
	return l, report, err
}

// trainers is a launcher, or what stands for one in tests.
type trainers interface {
	training.Launcher
	model.Intake
	// Missing are the layers of the sandbox that this machine lacks.
	Missing() []string
}

func (d *domain) openServices(ctx context.Context, s settings, log *slog.Logger, l trainers) error {
	var err error
	if d.sessions, err = identity.New(identity.Config{Users: d.store, Registry: d.registry}); err != nil {
		return err
	}
	catalogue, err := dataset.New(ctx, dataset.Config{
		Store: d.store, Ledger: d.ledger, Limits: dataset.DefaultLimits(int64(s.memoryLimit) / 2), Roles: d.registry.RolesOf, Development: d.registry.Development,
	})
	if err != nil {
		return err
	}
	limits := program.DefaultArchiveLimits()
	limits.ArchiveBytes = min(limits.ArchiveBytes, int64(s.memoryLimit)/4)
	taken, err := model.New(model.Config{Store: d.store, Intake: l, Datasets: catalogue, Log: log, Limits: limits, MaxIntakes: maxIntakes})
	if err != nil {
		return err
	}
	d.runs, err = training.New(training.Config{
		Store: d.store, Budget: d.ledger, Launcher: l, Datasets: catalogue, Models: taken, Log: log, Roles: d.registry.RolesOf,
		Devices: s.devices(), Threads: s.threads, Concurrent: concurrentRuns, MaxQueued: maxQueuedRuns,
	})
	if err != nil {
		return err
	}
	d.datasets, d.models = datasets{catalogue, d.runs, log}, models{taken}
	d.receipts = receipts{d.ledger, d.closings, catalogue, d.runs, log}
	d.trail = trail{Log: d.audit, ledger: d.ledger, store: d.store, seesAll: func(user string) bool {
		return user == identity.MachineOperator || d.registry.RolesOf(user).Has(permission.Operator)
	}}
	return errors.Join(taken.Recover(ctx), d.runs.Recover(ctx))
}

func (d *domain) close() error {
	var errs []error
	if d.audit != nil {
		errs = append(errs, d.audit.Close())
	}
	if d.ledger != nil {
		if d.store.Level() == storage.Memory {
			// PRIVACY: the key ends here. What owners may still count on is what it signs now; nothing trains any more.
			errs = append(errs, d.ledger.CloseAccounts())
		}
		errs = append(errs, d.ledger.Close())
	}
	if d.socket.directory != nil {
		errs = append(errs, d.socket.directory.Close())
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}

// withFix says what to do about an error of the machine; a refusal says so itself, and an interrupted start needs no advice.
func withFix(err error, next string) error {
	var refused *refusal.Error
	if err == nil || errors.As(err, &refused) || errors.Is(err, context.Canceled) {
		return err
	}
	return refusal.New(refusal.Unavailable, next, "%s", err)
}

func refuseSetting(name, want, got string) error {
	return refusal.New(refusal.InvalidArgument, fmt.Sprintf("give %s for --%s", want, name), "--%s does not take %q", name, got)
}
