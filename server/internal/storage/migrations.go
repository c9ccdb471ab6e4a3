package storage

// applicationID marks the database as this program's ("BLab").
const applicationID = 0x424c6162

// migrations are applied in order, each once; a database's version is how many it has seen. One that was released is never changed: a
// change is another one at the end.
var migrations = [...]string{`
CREATE TABLE facts (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_mark (
	only    INTEGER PRIMARY KEY CHECK (only = 1),
	records INTEGER NOT NULL,
	bytes   INTEGER NOT NULL,
	chain   BLOB NOT NULL
) STRICT;

CREATE TABLE users (
	id                 TEXT PRIMARY KEY,
	public_key         BLOB NOT NULL,
	first_seen_unix_ms INTEGER NOT NULL,
	last_seen_unix_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- "number" orders rows of the same millisecond; it is never reused.
CREATE TABLE datasets (
	number          INTEGER PRIMARY KEY AUTOINCREMENT,
	id              TEXT NOT NULL UNIQUE,
	owner           TEXT NOT NULL,
	test_of         TEXT UNIQUE REFERENCES datasets(id) ON DELETE CASCADE,
	created_unix_ms INTEGER NOT NULL,
	card            BLOB NOT NULL,
	records         INTEGER NOT NULL,
	record_bytes    INTEGER NOT NULL,
	blob_sha256     BLOB NOT NULL,
	blob_bytes      INTEGER NOT NULL
) STRICT;

-- Models and runs name their dataset without a reference: they stay when it is deleted.
CREATE TABLE models (
	number          INTEGER PRIMARY KEY AUTOINCREMENT,
	id              TEXT NOT NULL UNIQUE,
	owner           TEXT NOT NULL,
	dataset_id      TEXT NOT NULL,
	name            TEXT NOT NULL,
	description     TEXT NOT NULL,
	loss            TEXT NOT NULL,
	created_unix_ms INTEGER NOT NULL,
	program         BLOB NOT NULL,
	report          BLOB NOT NULL,
	blob_sha256     BLOB NOT NULL,
	blob_bytes      INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
	number          INTEGER PRIMARY KEY AUTOINCREMENT,
	id              TEXT NOT NULL UNIQUE,
	model_id        TEXT NOT NULL REFERENCES models(id),
	dataset_id      TEXT NOT NULL,
	dataset_owner   TEXT NOT NULL,
	scientist       TEXT NOT NULL,
	name            TEXT NOT NULL,
	description     TEXT NOT NULL,
	created_unix_ms INTEGER NOT NULL,
	ended_unix_ms   INTEGER NOT NULL,
	status          INTEGER NOT NULL,
	failure         TEXT NOT NULL,
	spent           TEXT NOT NULL,
	request         BLOB NOT NULL,
	plan            BLOB NOT NULL,
	steps_done      INTEGER NOT NULL,
	epochs_done     INTEGER NOT NULL,
	weights_sha256  BLOB NOT NULL,
	weights_bytes   INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_by_scientist ON runs (scientist);
CREATE INDEX runs_by_dataset_owner ON runs (dataset_owner);
CREATE INDEX runs_unfinished ON runs (number) WHERE ended_unix_ms = 0;
`, `
ALTER TABLE runs ADD COLUMN history BLOB NOT NULL DEFAULT x'';
ALTER TABLE runs ADD COLUMN result BLOB NOT NULL DEFAULT x'';
`, `
-- What an interrupted run goes on with. Runs of before have no "train" and cannot.
ALTER TABLE runs ADD COLUMN train BLOB NOT NULL DEFAULT x'';
ALTER TABLE runs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN granted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN denial TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN state_id TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN state_sha256 BLOB NOT NULL DEFAULT x'';
ALTER TABLE runs ADD COLUMN state_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN state_steps INTEGER NOT NULL DEFAULT 0;

-- How often runs on a dataset were interrupted since its owner last approved one.
CREATE TABLE interruptions (
	dataset_id TEXT PRIMARY KEY,
	count      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`, `
-- Keys of before were seen in development mode, and registered by nobody.
ALTER TABLE users RENAME COLUMN first_seen_unix_ms TO added_unix_ms;
ALTER TABLE users ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN roles INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;

-- bastionlab.v1.Permissions. Datasets of before are of development mode, where everybody may train on them, test and take weights home: the default says that.
ALTER TABLE datasets ADD COLUMN permissions BLOB NOT NULL DEFAULT x'0a06100118012001';
`, `
-- The key of a dataset's blobs, wrapped by the server's. It is there before the dataset is, and goes with it: what it encrypted is lost then.
CREATE TABLE dataset_keys (
	dataset_id TEXT PRIMARY KEY,
	wrapped    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`, `
-- A code over the row, under a key of the server's. Rows of before have none.
ALTER TABLE datasets ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
`}
