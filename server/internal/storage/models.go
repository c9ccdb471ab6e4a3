package storage

import "context"

// ModelRow is a model that the server accepted; its program's payload is the blob of kind "model" under the same identifier.
type ModelRow struct {
	ID            string
	Owner         string
	DatasetID     string // whose schema it was checked against
	Name          string
	Description   string
	Loss          string
	CreatedUnixMS int64
	Program       []byte // bastionlab.trainer.v1.Program
	Report        []byte // bastionlab.v1.CapabilityReport
	BlobSHA256    []byte
	BlobBytes     int64
}

// InsertModel makes the model known.
func (s *Store) InsertModel(ctx context.Context, m ModelRow) error {
	return s.exec(ctx, "insert model", 1, `INSERT INTO models
		(id, owner, dataset_id, name, description, loss, created_unix_ms, program, report, blob_sha256, blob_bytes)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		m.ID, m.Owner, m.DatasetID, m.Name, m.Description, m.Loss, m.CreatedUnixMS, notNull(m.Program), notNull(m.Report),
		notNull(m.BlobSHA256), m.BlobBytes)
}

// Model returns one row, or an error that wraps ErrNoRow.
func (s *Store) Model(ctx context.Context, id string) (ModelRow, error) {
	return queryRow(ctx, s, "read model", scanModel, modelColumns+" WHERE id = ?", id)
}

// ModelsOf lists an owner's models, newest first.
func (s *Store) ModelsOf(ctx context.Context, owner string) ([]ModelRow, error) {
	return queryRows(ctx, s, "list models", scanModel, modelColumns+" WHERE owner = ? ORDER BY number DESC", owner)
}

const modelColumns = "SELECT id, owner, dataset_id, name, description, loss, created_unix_ms, program, report, blob_sha256, blob_bytes FROM models"

func scanModel(row scanner) (m ModelRow, err error) {
	return m, row.Scan(&m.ID, &m.Owner, &m.DatasetID, &m.Name, &m.Description, &m.Loss, &m.CreatedUnixMS, &m.Program, &m.Report,
		&m.BlobSHA256, &m.BlobBytes)
}
