package training

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/dataset"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Budget is the ledger as a run needs it.
type Budget interface {
	Account(dataset string) (ledger.Account, error)
	Reserve(dataset, run, scientist string, price ledger.Price) error
	Release(dataset, run string) error
	DataGiven(dataset, run string) error
	Settle(dataset, run, outcome string) error
	// SettleCancelled settles a run that a person ended to the part that it drew on the counting filters.
	SettleCancelled(dataset, run string, drawn []accounting.Renyi) error
	// ReceiptsOfRun returns what the ledger signed about one run.
	ReceiptsOfRun(dataset, run string) ([]receipt.Receipt, error)
	// Unsettled lists the charges whose runs have not ended.
	Unsettled() []ledger.Run
}

// Launcher starts trainers.
type Launcher interface {
	// Prepare returns a trainer that has the model and no data. TrainingFailed refusals hold texts of the launcher's own only.
	Prepare(ctx context.Context, train *trainerv1.Train, program, initial *os.File) (Trainer, error)
	// PrepareTest returns the same for a test. weights is nil where the model is tested as it was sent.
	PrepareTest(ctx context.Context, test *trainerv1.Test, program, weights *os.File) (Tester, error)
}

// Trainer is one sandboxed process.
type Trainer interface {
	// Ended is closed when there is no process any more.
	Ended() <-chan struct{}
	// Run gives the trainer its files - the records, the output, one for the first state and, where data say so, a state to go on from - and
	// waits for its end. Each epoch begins when keep has returned for its state, with the file for the next.
	Run(ctx context.Context, data *trainerv1.Data, files []*os.File, progress func(*trainerv1.Progress),
		keep func(context.Context, *trainerv1.State) (*os.File, error)) (*trainerv1.Finished, error)
	Close() error
}

// Tester is one sandboxed process that measures.
type Tester interface {
	// Ended is closed when there is no process any more.
	Ended() <-chan struct{}
	// Run gives it the records and waits for the noised sum.
	Run(ctx context.Context, data *trainerv1.Data, records *os.File) (*trainerv1.Tested, error)
	Close() error
}

// Datasets finds datasets for those who may do with them what they wish to, and opens their records as a sealed file in memory.
type Datasets interface {
	Permitted(ctx context.Context, user, id string, wish permission.Wish) (*bastionlabv1.Dataset, error)
	OpenRecords(ctx context.Context, id string) (dataset.Records, error)
}

// Models finds what the intake accepted.
type Models interface {
	Get(ctx context.Context, user, id string) (model.Model, error)
	Open(ctx context.Context, m model.Model) (*os.File, error)
}

// Config is what a Service is made of.
type Config struct {
	Store    *storage.Store
	Budget   Budget
	Launcher Launcher
	Datasets Datasets
	Models   Models
	Log      *slog.Logger

	Devices    []string // what trainers compute on beside the CPU; nil: nothing
	Threads    int      // of one trainer
	Concurrent int      // runs at once
	MaxQueued  int      // runs that have not ended, of all people

	// Roles are what a user is at the moment: operators see runs and may end them.
	Roles func(user string) permission.Roles

	// ProgressInterval is the least time between two tellings of progress; 0 means one second.
	ProgressInterval time.Duration
	Now              func() time.Time // nil: time.Now
}

// Service prices, queues and follows runs. Recover must have returned before it is used, and Serve must run for anything to be trained.
type Service struct {
	Config

	mu       sync.Mutex
	lives    map[string]*live // by run
	queue    []*live
	waiting  map[*live]bool // for the owners of their datasets
	stopping bool
	wake     chan struct{} // holds a token while the queue may have work

	maxRunsOf int64

	owing      sync.WaitGroup // ends of runs that could not be written yet
	writeAgain time.Duration
	stopped    chan struct{} // closed when no run is under way any more

	pricing *turns // solving for the noise takes a processor for a moment
	known   *memory
}

// New makes a service that does not train yet.
func New(config Config) (*Service, error) {
	if config.Store == nil || config.Budget == nil || config.Launcher == nil || config.Datasets == nil || config.Models == nil || config.Log == nil || config.Roles == nil {
		return nil, errors.New("training: the configuration is incomplete")
	}
	if config.Threads < 1 || config.Concurrent < 1 || config.MaxQueued < 1 {
		return nil, errors.New("training: threads, concurrent runs and queued runs must each be at least 1")
	}
	if config.ProgressInterval == 0 {
		config.ProgressInterval = progressInterval
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Service{
		Config: config, lives: map[string]*live{}, waiting: map[*live]bool{}, wake: make(chan struct{}, 1), maxRunsOf: maxRunsOf, writeAgain: writeAgain, stopped: make(chan struct{}), pricing: newTurns(maxPricing), known: newMemory(maxRemembered),
	}, nil
}

// Serve trains what is queued until ctx is done. Then what runs is interrupted, what is queued gets its charge back, and it
// returns when every run has ended.
func (s *Service) Serve(ctx context.Context) {
	var workers sync.WaitGroup
	for range s.Concurrent {
		workers.Go(func() {
			for next := s.next(ctx); next != nil; next = s.next(ctx) {
				s.execute(ctx, next)
			}
		})
	}
	workers.Wait()
	for _, waiting := range s.close() {
		waiting.stop(errStopping)
		s.execute(ctx, waiting)
	}
	close(s.stopped)
	s.owing.Wait()
}
