// Package model takes models in: an archive arrives in chunks, is sealed on disk, is judged as a file, and is turned into a canonical program
// by a sandboxed process without data. The server judges the program's own bytes and keeps them; they are the model from then on.
//
// Invariants: an archive is never parsed by the server, never held in memory while it arrives, and gone when its intake has ended,
// whatever came of it; nothing is known of a model that was cut off, has another digest or was refused; a program is looked at when
// nobody can write to it any more, and neither its size nor its digest nor what it holds is taken from who wrote it; no whole program
// lies on the heap; a model is its author's alone.
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
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const (
	archiveKind = "archive" // a blob until its intake has ended
	programKind = "model"   // what the model is, under its identifier
)

// Intake has an archive read in a sandboxed process without data. That process has ended when it returns, and output holds a program.
type Intake interface {
	Intake(ctx context.Context, request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error)
}

// Datasets tells what a model is checked against.
type Datasets interface {
	Permitted(ctx context.Context, user, id string, wish permission.Wish) (*bastionlabv1.Dataset, error)
}

// Config is what a Catalogue is made of.
type Config struct {
	Store      *storage.Store
	Intake     Intake
	Datasets   Datasets
	Log        *slog.Logger
	Limits     program.ArchiveLimits
	MaxIntakes int              // archives that are read at once; each takes memory of the archive's size, of its program's, and more
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

// Model is a program that the server accepted.
type Model struct {
	ID        string
	Author    string
	DatasetID string             // whose schema it was checked against
	Program   *trainerv1.Program // what plan, ledger and trainer are bound to
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
	return c.Store.BlobMemfd(ctx, programKind, m.ID, m.Program.GetPayloadSha256())
}

// Recover removes what was being taken in when the last server died: every archive, and programs that no model names.
func (c *Catalogue) Recover(ctx context.Context) error {
	archives, err := c.Store.BlobIDs(archiveKind)
	if err != nil {
		return err
	}
	for _, id := range archives {
		if err := c.remove(ctx, archiveKind, id); err != nil {
			return err
		}
	}
	programs, err := c.Store.BlobIDs(programKind)
	if err != nil {
		return err
	}
	for _, id := range programs {
		switch _, err := c.Store.Model(ctx, id); {
		case errors.Is(err, storage.ErrNoRow):
			if err := c.remove(ctx, programKind, id); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
	return nil
}

func (c *Catalogue) remove(ctx context.Context, kind, id string) error {
	if err := c.Store.DeleteBlob(kind, id); err != nil {
		return err
	}
	c.Log.InfoContext(ctx, "what was never taken in was removed", "kind", kind, "model", id)
	return nil
}
