package storage

import "context"

// RunRow is a run as it is told to people. What it was charged is the ledger's.
type RunRow struct {
	ID            string
	ModelID       string
	DatasetID     string
	DatasetOwner  string // of the time of the start: the dataset may be deleted since
	Scientist     string
	Name          string
	Description   string
	CreatedUnixMS int64
	EndedUnixMS   int64 // 0 while it has not ended
	Status        int32 // bastionlab.v1.RunStatus
	Failure       string
	Spent         string
	Request       []byte // bastionlab.v1.TrainingRequest or TestRequest; not in listings
	Plan          []byte // bastionlab.v1.Plan
	StepsDone     int64
	EpochsDone    int64
	WeightsSHA256 []byte // of the blob of kind "weights" under the run's identifier; empty while there is none
	WeightsBytes  int64
	History       []byte // bastionlab.v1.History: the losses of the epochs of which what follows them is durable
	Result        []byte // bastionlab.v1.TestResult, which leaves with a completed test only; empty while there is none

	Train         []byte // bastionlab.trainer.v1.Train: what a trainer is told; not in listings; empty for a test
	Attempts      int64  // that were begun
	Granted       int64  // attempts, by the dataset's owner: so many may be begun in all; 0: none was approved
	Interruptions int64  // attempts that ended without a result, where nobody wanted it
	Denial        string // the owner's words
	StateID       string // of the blob of kind "state" that holds what the next attempt begins with; empty while there is none
	StateSHA256   []byte
	StateBytes    int64
	StateSteps    int64 // that were done by then
}

// InsertRun makes the run known.
func (s *Store) InsertRun(ctx context.Context, r RunRow) error {
	return s.exec(ctx, "insert run", 1, `INSERT INTO runs
		(id, model_id, dataset_id, dataset_owner, scientist, name, description, created_unix_ms, ended_unix_ms, status, failure, spent,
		request, plan, steps_done, epochs_done, weights_sha256, weights_bytes, history, result, train)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.ModelID, r.DatasetID, r.DatasetOwner, r.Scientist, r.Name, r.Description, r.CreatedUnixMS, r.EndedUnixMS, r.Status, r.Failure,
		r.Spent, notNull(r.Request), notNull(r.Plan), r.StepsDone, r.EpochsDone, notNull(r.WeightsSHA256), r.WeightsBytes,
		notNull(r.History), notNull(r.Result), notNull(r.Train))
}

// UpdateRun writes what changes in a run's life: its end, status, failure, spent, progress, weights, losses, result, attempts and state. A run
// that has ended stays as it is; updating it is an error that wraps ErrNoRow.
func (s *Store) UpdateRun(ctx context.Context, r RunRow) error {
	return updateRun(ctx, s.db, r)
}

func updateRun(ctx context.Context, db executor, r RunRow) error {
	return execOn(ctx, db, "update run", 1, `UPDATE runs SET ended_unix_ms = ?, status = ?, failure = ?, spent = ?, steps_done = ?, epochs_done = ?,
		weights_sha256 = ?, weights_bytes = ?, history = ?, result = ?, attempts = ?, granted = ?, interruptions = ?, denial = ?, state_id = ?,
		state_sha256 = ?, state_bytes = ?, state_steps = ? WHERE id = ? AND ended_unix_ms = 0`,
		r.EndedUnixMS, r.Status, r.Failure, r.Spent, r.StepsDone, r.EpochsDone, notNull(r.WeightsSHA256), r.WeightsBytes, notNull(r.History),
		notNull(r.Result), r.Attempts, r.Granted, r.Interruptions, r.Denial, r.StateID, notNull(r.StateSHA256), r.StateBytes, r.StateSteps, r.ID)
}

// Run returns one row, or an error that wraps ErrNoRow.
func (s *Store) Run(ctx context.Context, id string) (RunRow, error) {
	return queryRow(ctx, s, "read run", scanRun, runColumns+" WHERE id = ?", id)
}

// RunsOf lists the runs that the user started and those on the user's datasets, newest first, without their requests: as many as their texts
// and plans come to no more than maxBytes.
func (s *Store) RunsOf(ctx context.Context, user string, maxBytes int) ([]RunRow, error) {
	return queryRowsWhile(ctx, s, "list runs", scanRun, fitting(maxBytes), listedRunColumns+" WHERE scientist = ? OR dataset_owner = ? ORDER BY number DESC", user, user)
}

// Runs lists all runs in the same way.
func (s *Store) Runs(ctx context.Context, maxBytes int) ([]RunRow, error) {
	return queryRowsWhile(ctx, s, "list runs", scanRun, fitting(maxBytes), listedRunColumns+" ORDER BY number DESC")
}

// fitting wants rows until they are more than so many bytes.
func fitting(left int) func(RunRow) bool {
	const fixed = 512 // identifiers, numbers, and the lengths of it all
	return func(r RunRow) bool {
		left -= fixed + len(r.Name) + len(r.Description) + len(r.Denial) + len(r.Failure) + len(r.Spent) + len(r.Plan) + len(r.History)
		return left >= 0
	}
}

// CountRuns counts the runs that the user started, ended ones too.
func (s *Store) CountRuns(ctx context.Context, scientist string) (int64, error) {
	return queryRow(ctx, s, "count runs", scanCount, "SELECT count(*) FROM runs WHERE scientist = ?", scientist)
}

// StatusCount is how many runs ended in one way.
type StatusCount struct {
	Status int32 // bastionlab.v1.RunStatus
	Runs   int64
}

// CountEndedRuns counts the runs that have ended, by how.
func (s *Store) CountEndedRuns(ctx context.Context) ([]StatusCount, error) {
	return queryRows(ctx, s, "count ended runs", func(row scanner) (c StatusCount, err error) { return c, row.Scan(&c.Status, &c.Runs) },
		"SELECT status, count(*) FROM runs WHERE ended_unix_ms != 0 GROUP BY status")
}

// UnfinishedRuns lists the runs that have not ended, without their requests, oldest first: after a start, those that the last server did not finish.
func (s *Store) UnfinishedRuns(ctx context.Context) ([]RunRow, error) {
	return queryRows(ctx, s, "list unfinished runs", scanRun, listedRunColumns+" WHERE ended_unix_ms = 0 ORDER BY number")
}

const (
	runColumns       = columnsBeforeRequest + "request, train" + columnsAfterRequest
	listedRunColumns = columnsBeforeRequest + "x'', x''" + columnsAfterRequest

	columnsBeforeRequest = `SELECT id, model_id, dataset_id, dataset_owner, scientist, name, description, created_unix_ms, ended_unix_ms, status, failure,
	spent, `
	columnsAfterRequest = `, plan, steps_done, epochs_done, weights_sha256, weights_bytes, history, result, attempts, granted, interruptions, denial,
	state_id, state_sha256, state_bytes, state_steps FROM runs`
)

func scanRun(row scanner) (r RunRow, err error) {
	return r, row.Scan(&r.ID, &r.ModelID, &r.DatasetID, &r.DatasetOwner, &r.Scientist, &r.Name, &r.Description, &r.CreatedUnixMS, &r.EndedUnixMS,
		&r.Status, &r.Failure, &r.Spent, &r.Request, &r.Train, &r.Plan, &r.StepsDone, &r.EpochsDone, &r.WeightsSHA256, &r.WeightsBytes, &r.History,
		&r.Result, &r.Attempts, &r.Granted, &r.Interruptions, &r.Denial, &r.StateID, &r.StateSHA256, &r.StateBytes, &r.StateSteps)
}
