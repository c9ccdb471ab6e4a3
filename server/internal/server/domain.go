package server

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/audit"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// The domain as the handlers call it. `user` is always the caller, in hex, or identity.MachineOperator. The gate has judged the caller's roles; what depends on
// the dataset or the run is judged behind these.

// Sessions turns keys into callers.
type Sessions interface {
	Challenge(ctx context.Context) ([]byte, error)
	// SignIn checks the request's signature over the challenge and the channel that it came on.
	SignIn(ctx context.Context, request *bastionlabv1.SignInRequest, channel identity.Channel) (identity.Session, error)
	// Authenticate names the holder of a token that comes on a channel, as what they are now.
	Authenticate(ctx context.Context, token string, channel identity.Channel) (identity.Caller, error)
}

// Users are who may sign in.
type Users interface {
	Add(ctx context.Context, publicKey []byte, name string, roles identity.Roles) (storage.UserRow, error)
	List(ctx context.Context) ([]storage.UserRow, error)
	Revoke(ctx context.Context, user string) (storage.UserRow, error)
}

// Evidence proves what the server is, to one connection.
type Evidence interface {
	Evidence(ctx context.Context, nonce [attestation.NonceBytes]byte, channel attestation.Channel) (*bastionlabv1.Evidence, error)
}

// Audit is the log of who did what.
type Audit interface {
	// Begin makes sure, before a user's call changes anything, that it can be noted. end must be called.
	Begin(user string) (end func(), err error)
	// Record notes a call; a change is on disk when it returns.
	Record(entry audit.Entry, change bool) error
	// List returns what concerns the caller, of one dataset or of all, after a number; more says that there are others.
	List(ctx context.Context, user, dataset string, after int64, most int) (lines []audit.Line, more bool, err error)
}

// Datasets is the catalogue.
type Datasets interface {
	Begin(ctx context.Context, user string, header *bastionlabv1.UploadDatasetHeader) (DatasetUpload, error)
	List(ctx context.Context, user string) ([]*bastionlabv1.Dataset, error)
	Get(ctx context.Context, user, id string) (*bastionlabv1.Dataset, error)
	Budget(ctx context.Context, user, id string) (*bastionlabv1.Budget, error)
	// LowerLimit lowers the limit for all, or for one scientist.
	LowerLimit(ctx context.Context, user, id string, limit float64, scientist string) (*bastionlabv1.Budget, error)
	Delete(ctx context.Context, user, id string) error
	Grant(ctx context.Context, user, id string, grant *bastionlabv1.Grant) (*bastionlabv1.Dataset, error)
	// Revoke takes back what a user was granted, or what everybody was where none is named.
	Revoke(ctx context.Context, user, id, granted string) (*bastionlabv1.Dataset, error)
}

// Receipts are what the ledger signed.
type Receipts interface {
	// OfDataset returns those of the account that a dataset draws on, to its owner, after a number; more says that there are others.
	OfDataset(ctx context.Context, user, id string, after int64) (receipts []*bastionlabv1.Receipt, more bool, err error)
	// OfRun returns those of a run, to its scientist and to the owner of its dataset.
	OfRun(ctx context.Context, user, id string) ([]*bastionlabv1.Receipt, error)
	Present(ctx context.Context, user string, receipt *bastionlabv1.Receipt) (*bastionlabv1.Standing, error)
	// Closings returns those with which earlier starts, whose keys are gone, closed the user's accounts.
	Closings(ctx context.Context, user string) []*bastionlabv1.Receipt
	// Key is the public key that they are signed with.
	Key() []byte
}

// DatasetUpload is one upload. Abort is always called, and does nothing after Finish succeeded.
type DatasetUpload interface {
	// Rest is called where nothing may come for a while: what memory can be done without is given back.
	Rest()
	Add(ctx context.Context, batch *bastionlabv1.RecordBatch) error
	Finish(ctx context.Context, trailer *bastionlabv1.UploadDatasetTrailer) (*bastionlabv1.UploadDatasetResponse, error)
	Abort()
}

// Models takes models in.
type Models interface {
	Begin(ctx context.Context, user string, header *bastionlabv1.UploadModelHeader) (ModelUpload, error)
}

// ModelUpload is one upload. Abort is always called, and does nothing after Finish succeeded.
type ModelUpload interface {
	Add(ctx context.Context, chunk []byte) error
	Finish(ctx context.Context, trailer *bastionlabv1.UploadModelTrailer) (*bastionlabv1.UploadModelResponse, error)
	Abort()
}

// Training prices, starts and follows runs.
type Training interface {
	Plan(ctx context.Context, user string, request *bastionlabv1.TrainingRequest) (*bastionlabv1.Plan, error)
	Start(ctx context.Context, user string, request *bastionlabv1.StartTrainingRequest) (*bastionlabv1.Run, error)
	PlanTest(ctx context.Context, user string, request *bastionlabv1.TestRequest) (*bastionlabv1.Plan, error)
	StartTest(ctx context.Context, user string, request *bastionlabv1.StartTestRequest) (*bastionlabv1.Run, error)
	Get(ctx context.Context, user, id string) (*bastionlabv1.Run, error)
	List(ctx context.Context, user string) ([]*bastionlabv1.Run, error)
	// Watch sends the run as it is now and at every change until it has ended or ctx is done.
	Watch(ctx context.Context, user, id string, send func(*bastionlabv1.Run) error) error
	Cancel(ctx context.Context, user, id string) (*bastionlabv1.Run, error)
	Approve(ctx context.Context, user, id string) (*bastionlabv1.Run, error)
	Deny(ctx context.Context, user, id, reason string) (*bastionlabv1.Run, error)
	Weights(ctx context.Context, user, id string) (training.Weights, error)
}
