package model

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

var testSchema = &bastionlabv1.Schema{
	Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{4}}},
	Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64},
}

type oneDataset struct{}

func (oneDataset) Permitted(_ context.Context, _, _ string, wish permission.Wish) (*bastionlabv1.Dataset, error) {
	if wish.Action != permission.Propose {
		return nil, errors.New("it was not asked whether a model may be sent")
	}
	return &bastionlabv1.Dataset{Schema: testSchema}, nil
}

func open(t *testing.T) (*Catalogue, *storage.Store) {
	t.Helper()
	store, err := storage.Open(t.Context(), t.TempDir(), storage.File)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	c, err := New(Config{Store: store, Intake: honest(nil), Datasets: oneDataset{}, Log: slog.New(slog.DiscardHandler), Limits: program.DefaultArchiveLimits(), MaxIntakes: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c, store
}

// insert makes a model of the author known; without a row it is one that was being taken in when the server died.
func insert(t *testing.T, store *storage.Store, author string, row bool) string {
	t.Helper()
	id := storage.NewID()
	digest, size := putBlob(t, store, programKind, id)
	if !row {
		return id
	}
	encoded, err := proto.Marshal(&trainerv1.Program{PayloadSha256: digest, PayloadBytes: size, Loss: "l1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.InsertModel(t.Context(), storage.ModelRow{ID: id, Owner: author, Program: encoded, BlobSHA256: digest}); err != nil {
		t.Fatal(err)
	}
	return id
}

func putBlob(t *testing.T, store *storage.Store, kind, id string) (digest []byte, size int64) {
	t.Helper()
	blob, err := store.CreateBlob(kind, id)
	if err != nil {
		t.Fatal(err)
	}
	if digest, size, err = blob.Commit(); err != nil {
		t.Fatal(err)
	}
	return digest, size
}

func blobs(t *testing.T, store *storage.Store, kind string) []string {
	t.Helper()
	ids, err := store.BlobIDs(kind)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAModelIsItsAuthorsAlone(t *testing.T) {
	c, store := open(t)
	id := insert(t, store, "alice", true)
	if m, err := c.Get(t.Context(), "alice", id); err != nil || m.Program.GetLoss() != "l1" || m.Author != "alice" {
		t.Errorf("its author gets %v, %v", m, err)
	}
	_, foreign := c.Get(t.Context(), "bob", id)
	_, unknown := c.Get(t.Context(), "bob", "0123")
	if refusal.KindOf(foreign) != refusal.NotFound || foreign.Error() != unknown.Error() {
		t.Errorf("somebody else's reads %q, an unknown one %q", foreign, unknown)
	}
}

func TestRecoverRemovesWhatWasNeverTakenIn(t *testing.T) {
	c, store := open(t)
	known, orphan := insert(t, store, "alice", true), insert(t, store, "", false)
	// One server died while it read an archive, another when the model was known and the archive not yet gone.
	putBlob(t, store, archiveKind, storage.NewID())
	putBlob(t, store, archiveKind, known)
	if err := c.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ids := blobs(t, store, programKind); len(ids) != 1 || ids[0] != known {
		t.Errorf("left %v; the orphan was %s", ids, orphan)
	}
	if ids := blobs(t, store, archiveKind); len(ids) != 0 {
		t.Errorf("archives are left: %v", ids)
	}
}

func TestLossesAndLabels(t *testing.T) {
	for name, test := range map[string]struct {
		loss  string
		label bastionlabv1.DType
		taken bool
	}{
		"classes":            {"cross_entropy", bastionlabv1.DType_DTYPE_I64, true},
		"small classes":      {"cross_entropy", bastionlabv1.DType_DTYPE_U8, true},
		"classes as floats":  {"cross_entropy", bastionlabv1.DType_DTYPE_F32, false},
		"classes as bools":   {"cross_entropy", bastionlabv1.DType_DTYPE_BOOL, false},
		"yes or no":          {"bce_with_logits", bastionlabv1.DType_DTYPE_BOOL, true},
		"regression":         {"l2", bastionlabv1.DType_DTYPE_F32, true},
		"regression, named":  {"mse", bastionlabv1.DType_DTYPE_F64, true},
		"regression on ints": {"l1", bastionlabv1.DType_DTYPE_I64, false},
		"no dtype":           {"l2", bastionlabv1.DType_DTYPE_UNSPECIFIED, false},
		"no loss":            {"", bastionlabv1.DType_DTYPE_I64, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckLoss(test.loss, &bastionlabv1.TensorSpec{Dtype: test.label})
			if (err == nil) != test.taken || err != nil && refusal.KindOf(err) != refusal.InvalidArgument {
				t.Errorf("it is judged %v", err)
			}
		})
	}
}

// An upload is stopped where it passes what it announced, not when it ends: it may never end.
func TestAnUploadIsStoppedWhereItPassesWhatItAnnounced(t *testing.T) {
	c, _ := open(t)
	upload, err := c.Begin(t.Context(), "alice", &bastionlabv1.UploadModelHeader{Loss: "cross_entropy", ArchiveBytes: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer upload.Abort()
	if err := upload.Add(t.Context(), make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := upload.Add(t.Context(), make([]byte, 1)); refusal.KindOf(err) != refusal.InvalidArgument {
		t.Errorf("one byte more: %v", err)
	}
}
