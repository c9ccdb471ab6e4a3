// Package model takes models in: an archive arrives in chunks, is sealed on disk, is judged as a file, is read in a sandboxed process
// without data, and is known from then on by what that process understood of it.
//
// Invariants: an archive is never parsed by the server, and never held in memory while it arrives; nothing is known of a model that was cut
// off, has another digest or was refused; what the intake says is judged by the operator table before anything is made of it; a model is
// its author's alone.
//
// Non-goals: nothing here executes a model, and nothing here costs budget.
package model

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const blobKind = "model"

// Intake reads an archive in a sandboxed process without data.
type Intake interface {
	Intake(ctx context.Context, program *trainerv1.Program, archive *os.File) (*trainerv1.IntakeDone, error)
}

// Datasets tells what a model is checked against.
type Datasets interface {
	Get(ctx context.Context, user, id string) (*bastionlabv1.Dataset, error)
}

// Config is what a Catalogue is made of.
type Config struct {
	Store      *storage.Store
	Intake     Intake
	Datasets   Datasets
	Log        *slog.Logger
	Limits     program.ArchiveLimits
	MaxIntakes int              // archives that are read at once; each takes memory of the archive's size and more
	Now        func() time.Time // nil: time.Now
}

// Catalogue holds the models that were taken in.
type Catalogue struct {
	Config
	reading chan struct{} // a place for each intake under way
}

// New makes a catalogue. Recover must have returned before it is used.
func New(config Config) (*Catalogue, error) {
	if config.Store == nil || config.Intake == nil || config.Datasets == nil || config.Log == nil || config.Limits.ArchiveBytes < 1 || config.MaxIntakes < 1 {
		return nil, errors.New("model: the configuration is incomplete")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Catalogue{Config: config, reading: make(chan struct{}, config.MaxIntakes)}, nil
}

// Model is a model that the intake accepted.
type Model struct {
	ID        string
	Author    string
	DatasetID string // whose schema it was checked against
	Program   *trainerv1.Program
	Report    *bastionlabv1.CapabilityReport
}

// Get returns the author's model.
func (c *Catalogue) Get(ctx context.Context, user, id string) (Model, error) {
	row, err := c.Store.Model(ctx, id)
	if errors.Is(err, storage.ErrNoRow) || err == nil && row.Owner != user {
		// A stranger cannot tell somebody's model from none.
		return Model{}, refusal.New(refusal.NotFound, "upload the model first", "there is no such model")
	}
	if err != nil {
		return Model{}, err
	}
	m := Model{ID: row.ID, Author: row.Owner, DatasetID: row.DatasetID, Program: &trainerv1.Program{}, Report: &bastionlabv1.CapabilityReport{}}
	if err := errors.Join(proto.Unmarshal(row.Program, m.Program), proto.Unmarshal(row.Report, m.Report)); err != nil {
		return Model{}, fmt.Errorf("decode a model: %w", err)
	}
	return m, nil
}

// Open returns the program's payload as a sealed file in memory. The caller closes it.
func (c *Catalogue) Open(ctx context.Context, m Model) (*os.File, error) {
	return c.Store.BlobMemfd(ctx, blobKind, m.ID, m.Program.GetPayloadSha256())
}

// Recover removes archives that were being taken in when the last server died.
func (c *Catalogue) Recover(ctx context.Context) error {
	ids, err := c.Store.BlobIDs(blobKind)
	if err != nil {
		return err
	}
	for _, id := range ids {
		switch _, err := c.Store.Model(ctx, id); {
		case errors.Is(err, storage.ErrNoRow):
			if err := c.Store.DeleteBlob(blobKind, id); err != nil {
				return err
			}
			c.Log.InfoContext(ctx, "archive that was never taken in was removed", "model", id)
		case err != nil:
			return err
		}
	}
	return nil
}
