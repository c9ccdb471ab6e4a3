// Package telemetry tells whoever operates a server how it fares: metrics that Prometheus fetches, whether it is well and ready, and traces of
// calls to a collector. All of it is off unless a setting asks for it; then metrics are served where that setting says, and traces sent there.
//
// PRIVACY: the reader of metrics may be anybody whom the operator lets read them, so they learn less than the operator does: only what
// docs/guarantee.md calls public or observable, and what anybody can see who has signed in. So there is
//   - nothing that a trainer says or does once it may have records: no loss, no norm, no failure, no start of one, which would tell that a run was
//     repeated. A repeated run shows the same status as another; trainers are counted where they failed before they had records, as the log does.
//   - nothing that follows the true number of records, which `declared_samples` hides: no bytes of uploads, no bytes stored, no memory, processor
//     time, descriptors or network traffic of this process (so the usual collectors of Go and of processes are left out), and the disk's free
//     room in whole hundredths of it only.
//   - no duration of what goes on as long as records make it: uploads, downloads and watching a run are counted and neither timed nor traced.
//   - no text of anybody: label values are methods and refusal kinds of the protocol, and other words from fixed sets. No user, address, run or
//     model, ever; identifiers of datasets only with --metrics-datasets, and never their names.
//
// What the machine itself shows to those who run it - processes, sizes of files, packets - is not this package's to hide.
//
// Non-goals: no log, no decisions. It reads figures through functions that it is given, and imports none of the packages that own them.
package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Figures is the state of a server, read when somebody asks.
type Figures struct {
	Ready       bool
	Closed      bool // the server starts, or has stopped: there is nothing else to tell
	Development bool

	Calls       int
	Connections map[string]int // by state
	Uploads     map[string]int // by state
	Datasets    int

	Runs         map[string]int   // that have not ended, by status
	EndedRuns    map[string]int64 // by status
	QueuePlaces  int
	OldestQueued time.Duration

	Accounts       map[string]int // of the ledger: open, frozen
	LedgerBroken   bool
	AuditLines     int64
	AuditBroken    bool
	FreeHundredths int // of the data directory's disk; negative: not known

	Budgets []Budget // with --metrics-datasets
}

// Budget is a dataset's account. Limit is 0 where there is none.
type Budget struct {
	Dataset      string
	Limit, Spent float64
}

// Words are the sets that labels come from, as those name them who own them.
type Words struct {
	Actions  []string // calls
	Outcomes []string // of calls
	Limits   []string // that keep somebody out
	Tasks    []string // of trainers without records
	Reasons  []string // why they fail
	Untimed  []string // of the actions those whose length is not told
}

// Config is what Metrics are made of. All of it is needed.
type Config struct {
	Version string
	Words   Words
	Figures func() (Figures, error)
}

// Metrics counts what happens, and asks for the rest. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	words    words

	calls          *prometheus.CounterVec
	callSeconds    *prometheus.HistogramVec
	limited        *prometheus.CounterVec
	appendSeconds  prometheus.Histogram
	appendFailures prometheus.Counter
	trainerFailed  *prometheus.CounterVec
	reportSeconds  prometheus.Histogram
	reportFailures prometheus.Counter
}

var (
	// callBuckets are coarse: whether a server answers at once, soon, or makes people wait.
	callBuckets = []float64{0.005, 0.025, 0.1, 0.5, 2.5, 10, 60}
	diskBuckets = []float64{0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5}
)

// New makes metrics that all stand at zero.
func New(config Config) *Metrics {
	m := &Metrics{
		registry: prometheus.NewPedanticRegistry(), words: wordsOf(config.Words),
		calls:          counters("calls_total", "Calls that ended, by method and by what came of them.", "method", "outcome"),
		callSeconds:    prometheus.NewHistogramVec(histogram("call_seconds", "How long calls took, but those that go on as long as data or people make them.", callBuckets), []string{"method"}),
		limited:        counters("limited_total", "Times that a limit kept somebody out, by limit.", "limit"),
		appendSeconds:  prometheus.NewHistogram(histogram("ledger_append_seconds", "How long a record of the budget ledger took to be on disk.", diskBuckets)),
		appendFailures: counter("ledger_append_failures_total", "Records that the budget ledger could not write."),
		trainerFailed:  counters("trainer_failures_total", "Trainers that failed before they had records, by what they did. What happens afterwards is told to nobody.", "task", "reason"),
		reportSeconds:  prometheus.NewHistogram(histogram("evidence_report_seconds", "How long the hardware took for a report; one report serves all who wait.", callBuckets)),
		reportFailures: counter("evidence_failures_total", "Reports that the hardware did not give."),
	}
	started := prometheus.NewGauge(prometheus.GaugeOpts{Name: "process_start_time_seconds", Help: "When this server was started, in seconds since 1970."})
	started.Set(float64(time.Now().Unix()))
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1; the version is the label.", ConstLabels: prometheus.Labels{"version": config.Version}})
	build.Set(1)
	m.registry.MustRegister(m.calls, m.callSeconds, m.limited, m.appendSeconds, m.appendFailures, m.trainerFailed, m.reportSeconds, m.reportFailures,
		started, build, newState(config.Figures))
	for _, limit := range config.Words.Limits {
		m.limited.WithLabelValues(limit)
	}
	for _, task := range config.Words.Tasks {
		for _, reason := range config.Words.Reasons {
			m.trainerFailed.WithLabelValues(task, reason)
		}
	}
	return m
}

// Gatherer is what there is to tell.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Called counts a call that has ended.
func (m *Metrics) Called(action, outcome string, began time.Time) {
	action = known(m.words.actions, action)
	m.calls.WithLabelValues(action, known(m.words.outcomes, outcome)).Inc()
	if m.words.timed(action) {
		m.callSeconds.WithLabelValues(action).Observe(time.Since(began).Seconds())
	}
}

// Limited counts somebody whom a limit kept out.
func (m *Metrics) Limited(limit string) {
	m.limited.WithLabelValues(known(m.words.limits, limit)).Inc()
}

// LedgerWritten hears of every record of the ledger.
func (m *Metrics) LedgerWritten(took time.Duration, err error) {
	m.appendSeconds.Observe(took.Seconds())
	if err != nil {
		m.appendFailures.Inc()
	}
}

// TrainerFailed counts a trainer that failed before it had records.
func (m *Metrics) TrainerFailed(task, reason string) {
	m.trainerFailed.WithLabelValues(known(m.words.tasks, task), known(m.words.reasons, reason)).Inc()
}

// Reported hears of every report that the hardware was asked for.
func (m *Metrics) Reported(took time.Duration, err error) {
	m.reportSeconds.Observe(took.Seconds())
	if err != nil {
		m.reportFailures.Inc()
	}
}

const namespace = "bastionlab"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}
}
