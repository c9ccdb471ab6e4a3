package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// state tells figures as they are when somebody asks.
type state struct {
	figures func() (Figures, error)

	ready, development, calls, connections, uploads, datasets         *prometheus.Desc
	runs, ended, places, oldest, accounts, ledger, lines, audit, free *prometheus.Desc
	limit, spent                                                      *prometheus.Desc
}

func newState(figures func() (Figures, error)) *state {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &state{
		figures:     figures,
		ready:       describe("ready", "1 while the server takes calls and can charge for them."),
		development: describe("development", "1 while every key is accepted."),
		calls:       describe("calls_under_way", "Calls that have not ended, watched runs and uploads among them."),
		connections: describe("connections", "Connections of the network: without keys yet, of strangers, of callers who signed in.", "state"),
		uploads:     describe("uploads", "Uploads under way: with a stream, or resting until their client is back.", "state"),
		datasets:    describe("datasets", "Datasets in the catalogue."),
		runs:        describe("runs", "Runs that have not ended, by status; waiting: for the owner of their dataset.", "status"),
		ended:       describe("runs_ended_total", "Runs that have ended, by status, since the data directory was made.", "status"),
		places:      describe("queue_places", "How many more runs the queue takes."),
		oldest:      describe("queue_oldest_seconds", "How long the first run of the queue has waited for its turn."),
		accounts:    describe("accounts", "Accounts of the budget ledger; frozen ones charge nothing any more.", "state"),
		ledger:      describe("ledger_writable", "0 once the budget ledger could not be written: nothing is charged until the server was restarted."),
		lines:       describe("audit_lines_total", "Lines of the audit log."),
		audit:       describe("audit_writable", "0 once the audit log could not be written: nothing is changed until the server was restarted."),
		free:        describe("disk_free_ratio", "What of the data directory's disk is free, in whole hundredths."),
		limit:       describe("dataset_limit_epsilon", "A dataset's privacy limit; absent where there is none. With --metrics-datasets.", "dataset"),
		spent:       describe("dataset_spent_epsilon", "What is spent on a dataset's account, as the ledger counts. With --metrics-datasets.", "dataset"),
	}
}

// Describe names all that Collect may tell.
func (s *state) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		s.ready, s.development, s.calls, s.connections, s.uploads, s.datasets, s.runs, s.ended, s.places, s.oldest, s.accounts, s.ledger, s.lines,
		s.audit, s.free, s.limit, s.spent,
	} {
		to <- d
	}
}

// Collect asks for the figures once.
func (s *state) Collect(to chan<- prometheus.Metric) {
	f, err := s.figures()
	if err != nil {
		to <- prometheus.NewInvalidMetric(s.ready, err)
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	each := func(d *prometheus.Desc, counts map[string]int) {
		for word, count := range counts {
			gauge(d, float64(count), word)
		}
	}
	gauge(s.ready, oneIf(f.Ready))
	if f.Closed {
		return
	}
	gauge(s.development, oneIf(f.Development))
	gauge(s.calls, float64(f.Calls))
	each(s.connections, f.Connections)
	each(s.uploads, f.Uploads)
	gauge(s.datasets, float64(f.Datasets))
	each(s.runs, f.Runs)
	for status, count := range f.EndedRuns {
		to <- prometheus.MustNewConstMetric(s.ended, prometheus.CounterValue, float64(count), status)
	}
	gauge(s.places, float64(f.QueuePlaces))
	gauge(s.oldest, f.OldestQueued.Seconds())
	each(s.accounts, f.Accounts)
	gauge(s.ledger, oneIf(!f.LedgerBroken))
	to <- prometheus.MustNewConstMetric(s.lines, prometheus.CounterValue, float64(f.AuditLines))
	gauge(s.audit, oneIf(!f.AuditBroken))
	if f.FreeHundredths >= 0 {
		gauge(s.free, float64(f.FreeHundredths)/100)
	}
	for _, b := range f.Budgets {
		if b.Limit > 0 {
			gauge(s.limit, b.Limit, b.Dataset)
		}
		gauge(s.spent, b.Spent, b.Dataset)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
