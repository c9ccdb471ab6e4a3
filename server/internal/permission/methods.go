package permission

import (
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Need is which relation to the dataset, or to the run, a method wants of its caller. It is judged where that is found; Outcome says what comes of it.
type Need int

const (
	Nothing       Need = iota // what it answers is of the caller
	ToSee                     // the dataset
	ToSeeAccount              // the same, and its owner also of a deleted one
	ToOwn                     // the dataset
	ToOwnAccount              // the same, also of a deleted one
	ToPropose                 // a model for it: as to train
	ToTrain                   // on it
	ToTest                    // on it
	ToSeeRun                  // its author, the owner of its dataset and operators do
	ToSeeReceipts             // of the run; operators do not
	ToEndRun                  // its author and operators may
	ToDecideOnRun             // the owner of its dataset may
	ToTakeHome                // the weights of a run of one's own
)

var needNames = [...]string{
	Nothing: "-", ToSee: "see the dataset", ToSeeAccount: "see the dataset; its owner also deleted", ToOwn: "own the dataset", ToOwnAccount: "own the dataset, also deleted",
	ToPropose: "train on the dataset", ToTrain: "train on the dataset", ToTest: "test on the dataset",
	ToSeeRun: "author, owner of the dataset or operator", ToSeeReceipts: "author, or owner of the dataset", ToEndRun: "author or operator",
	ToDecideOnRun: "owner of the dataset", ToTakeHome: "author who may take weights of the dataset home",
}

func (n Need) String() string { return needNames[n] }

// Row says who may call a method.
type Row struct {
	Method string // as gRPC names it
	Open   bool   // it is how one signs in, or what one looks at before
	Roles  Roles  // one of which a caller must have
	Socket bool   // the machine's operator may call it on the socket in the data directory
	Needs  Need
}

// rows are the table.
// PRIVACY: operators upload nothing, plan nothing, start nothing and take no weights: running the machine gives no claim to what is trained on it. Nor
// do they decide on runs that wait: they can be who interrupted them.
var rows = []Row{
	{Method: bastionlabv1.AttestationService_GetEvidence_FullMethodName, Open: true},
	{Method: bastionlabv1.SessionService_Hello_FullMethodName, Open: true},
	{Method: bastionlabv1.SessionService_SignIn_FullMethodName, Open: true},

	{Method: bastionlabv1.UserService_AddUser_FullMethodName, Roles: Operator, Socket: true},
	{Method: bastionlabv1.UserService_ListUsers_FullMethodName, Roles: Operator, Socket: true},
	{Method: bastionlabv1.UserService_RevokeUser_FullMethodName, Roles: Operator, Socket: true},

	{Method: bastionlabv1.AuditService_ListAudit_FullMethodName, Roles: all, Socket: true},

	{Method: bastionlabv1.DatasetService_UploadDataset_FullMethodName, Roles: Owner},
	{Method: bastionlabv1.DatasetService_GetUpload_FullMethodName, Roles: Owner},
	{Method: bastionlabv1.DatasetService_ListDatasets_FullMethodName, Roles: all, Socket: true},
	{Method: bastionlabv1.DatasetService_GetDataset_FullMethodName, Roles: all, Socket: true, Needs: ToSee},
	{Method: bastionlabv1.DatasetService_GetBudget_FullMethodName, Roles: all, Socket: true, Needs: ToSeeAccount},
	{Method: bastionlabv1.DatasetService_LowerLimit_FullMethodName, Roles: Owner, Needs: ToOwn},
	{Method: bastionlabv1.DatasetService_DeleteDataset_FullMethodName, Roles: Owner, Needs: ToOwn},
	{Method: bastionlabv1.DatasetService_GrantAccess_FullMethodName, Roles: Owner, Needs: ToOwn},
	{Method: bastionlabv1.DatasetService_RevokeAccess_FullMethodName, Roles: Owner, Needs: ToOwn},

	{Method: bastionlabv1.ModelService_UploadModel_FullMethodName, Roles: Scientist, Needs: ToPropose},

	{Method: bastionlabv1.TrainingService_PlanTraining_FullMethodName, Roles: Scientist, Needs: ToTrain},
	{Method: bastionlabv1.TrainingService_StartTraining_FullMethodName, Roles: Scientist, Needs: ToTrain},
	{Method: bastionlabv1.TrainingService_PlanTest_FullMethodName, Roles: Scientist, Needs: ToTest},
	{Method: bastionlabv1.TrainingService_StartTest_FullMethodName, Roles: Scientist, Needs: ToTest},
	{Method: bastionlabv1.TrainingService_GetRun_FullMethodName, Roles: all, Socket: true, Needs: ToSeeRun},
	{Method: bastionlabv1.TrainingService_ListRuns_FullMethodName, Roles: all, Socket: true},
	{Method: bastionlabv1.TrainingService_WatchRun_FullMethodName, Roles: all, Socket: true, Needs: ToSeeRun},
	{Method: bastionlabv1.TrainingService_CancelRun_FullMethodName, Roles: Scientist | Operator, Socket: true, Needs: ToEndRun},
	{Method: bastionlabv1.TrainingService_ApproveRun_FullMethodName, Roles: Owner, Needs: ToDecideOnRun},
	{Method: bastionlabv1.TrainingService_DenyRun_FullMethodName, Roles: Owner, Needs: ToDecideOnRun},
	{Method: bastionlabv1.TrainingService_DownloadWeights_FullMethodName, Roles: Scientist, Needs: ToTakeHome},

	{Method: bastionlabv1.LedgerService_ListReceipts_FullMethodName, Roles: Owner | Scientist, Needs: ToOwnAccount}, // of a run: ToSeeReceipts
	{Method: bastionlabv1.LedgerService_PresentReceipts_FullMethodName, Roles: Owner | Scientist},
	{Method: bastionlabv1.LedgerService_ListClosings_FullMethodName, Roles: Owner},
}

var byMethod = func() map[string]Row {
	found := map[string]Row{}
	for _, row := range rows {
		found[row.Method] = row
	}
	return found
}()

// Table is all rows, in the order in which people read them.
func Table() []Row { return append([]Row(nil), rows...) }

// Knows says whether there is a row for a method.
func Knows(method string) bool { return byMethod[method].Method != "" }

// IsOpen says whether a method needs no token.
func IsOpen(method string) bool { return byMethod[method].Open }

// OnSocket refuses what the machine's operator may not call on the socket.
func OnSocket(method string) error {
	if !byMethod[method].Socket {
		return refusal.New(refusal.PermissionDenied, "use the Python client, with a key", "the operator's socket does not offer %.200q", method)
	}
	return nil
}

// ByRole refuses a method to who has none of its roles.
func ByRole(method string, roles Roles) error {
	row := byMethod[method]
	if roles.Has(row.Roles) {
		return nil
	}
	return refusal.New(refusal.PermissionDenied, "ask the server's operator for the role", "this needs the role %s, and yours is %s", row.Roles.either(), roles)
}
