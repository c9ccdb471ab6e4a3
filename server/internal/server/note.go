package server

import (
	"context"
	"strings"
	"sync"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/audit"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// weight is how a method is noted in the audit log.
type weight int

const (
	change weight = iota // on disk before its answer leaves, and refused where it could not be noted. What is missing below is one
	look                 // noted without waiting
	silent               // not noted: it is open to everybody and tells nobody's
)

var weights = map[string]weight{
	bastionlabv1.SessionService_Hello_FullMethodName:           silent,
	bastionlabv1.AttestationService_GetEvidence_FullMethodName: silent,
	bastionlabv1.SessionService_SignIn_FullMethodName:          look,

	bastionlabv1.UserService_AddUser_FullMethodName:    change,
	bastionlabv1.UserService_ListUsers_FullMethodName:  look,
	bastionlabv1.UserService_RevokeUser_FullMethodName: change,

	bastionlabv1.DatasetService_UploadDataset_FullMethodName: change,
	bastionlabv1.DatasetService_ListDatasets_FullMethodName:  look,
	bastionlabv1.DatasetService_GetDataset_FullMethodName:    look,
	bastionlabv1.DatasetService_GetBudget_FullMethodName:     look,
	bastionlabv1.DatasetService_LowerLimit_FullMethodName:    change,
	bastionlabv1.DatasetService_DeleteDataset_FullMethodName: change,
	bastionlabv1.DatasetService_GetUpload_FullMethodName:     look,
	bastionlabv1.DatasetService_GrantAccess_FullMethodName:   change,
	bastionlabv1.DatasetService_RevokeAccess_FullMethodName:  change,

	bastionlabv1.ModelService_UploadModel_FullMethodName: change,

	bastionlabv1.TrainingService_PlanTraining_FullMethodName:    look,
	bastionlabv1.TrainingService_StartTraining_FullMethodName:   change,
	bastionlabv1.TrainingService_PlanTest_FullMethodName:        look,
	bastionlabv1.TrainingService_StartTest_FullMethodName:       change,
	bastionlabv1.TrainingService_GetRun_FullMethodName:          look,
	bastionlabv1.TrainingService_ListRuns_FullMethodName:        look,
	bastionlabv1.TrainingService_WatchRun_FullMethodName:        look,
	bastionlabv1.TrainingService_CancelRun_FullMethodName:       change,
	bastionlabv1.TrainingService_ApproveRun_FullMethodName:      change,
	bastionlabv1.TrainingService_DenyRun_FullMethodName:         change,
	bastionlabv1.TrainingService_DownloadWeights_FullMethodName: change, // weights that left cannot be taken back

	bastionlabv1.LedgerService_ListReceipts_FullMethodName:    look,
	bastionlabv1.LedgerService_PresentReceipts_FullMethodName: change, // it can freeze an account
	bastionlabv1.LedgerService_ListClosings_FullMethodName:    look,

	bastionlabv1.AuditService_ListAudit_FullMethodName: look,
}

// unknownAction stands for every method that is none of the protocol's.
const unknownAction = "unknown"

const protocolPackage = "bastionlab.v1."

// note is what the audit log is told of one call: once, and before anything of an answer leaves.
type note struct {
	log Audit

	mu     sync.Mutex
	entry  audit.Entry
	weight weight
	about  subjects
	begun  bool // a change may have been made
	done   bool
	failed error // why a change could not be noted
	end    func()
}

func newNote(log Audit, method, boot, binding string) *note {
	n := &note{log: log, entry: audit.Entry{Action: unknownAction, Boot: boot, Binding: binding}, weight: look, end: func() {}}
	if w, known := weights[method]; known {
		n.weight, n.entry.Action = w, actionOf(method)
	}
	if isProbe(method) {
		n.weight = silent
	}
	return n
}

// actionOf is a method as log and metrics name it, such as DatasetService.UploadDataset.
func actionOf(method string) string {
	if _, known := weights[method]; !known {
		return unknownAction
	}
	return strings.ReplaceAll(strings.TrimPrefix(method, "/"+protocolPackage), "/", ".")
}

// by says who calls, and how their sign-in was bound; an empty binding is that of the listener.
func (n *note) by(user, binding string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entry.User = user
	if binding != "" {
		n.entry.Binding = binding
	}
}

// begin is called before a handler is, and makes sure that what it is about to change can be noted.
func (n *note) begin() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.weight != change {
		return nil
	}
	end, err := n.log.Begin(n.entry.User)
	if err != nil {
		return err
	}
	n.end, n.begun = end, true
	return nil
}

// request notes what is asked for.
func (n *note) request(message any) {
	if n == nil {
		return
	}
	about := subjectsOf(message)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.about = n.about.and(about)
	if signIn, ok := message.(*bastionlabv1.SignInRequest); ok {
		n.entry.Binding = bindingText(signIn.GetBinding())
	}
}

// answer notes that a call was allowed, at its first answer. An answer may leave only where it returns nil.
func (n *note) answer(message any) error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.about = n.about.and(subjectsOf(message))
	if signedIn, ok := message.(*bastionlabv1.SignInResponse); ok {
		n.entry.User, n.about.user = signedIn.GetUser(), ""
	}
	n.failed = n.write(true, "")
	return n.failed
}

// finish notes a call that had no answer, and returns its error, or why it could not be noted.
func (n *note) finish(ctx context.Context, err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.end()
	if n.failed == nil {
		n.failed = n.write(err == nil, reasonOf(ctx, err))
	}
	if n.failed != nil {
		return n.failed
	}
	return err
}

func (n *note) write(allowed bool, reason string) error {
	if n.done || n.weight == silent {
		return nil
	}
	n.done = true
	e := n.entry
	e.Dataset, e.Run, e.Subject, e.Allowed, e.Reason = n.about.dataset, n.about.run, n.about.user, allowed, reason
	// SECURITY: what was refused before it was begun changed nothing, whatever its method; strangers must not make the disk sync, nor fill it.
	err := n.log.Record(e, n.begun)
	if err == nil || !n.begun {
		return nil
	}
	if allowed {
		return refusal.New(refusal.Unavailable, "look what became of it, and ask the server's operator to look at the disk",
			"what was asked may have been done, but the audit log could not be written, so it is not answered")
	}
	return err
}

// reasonOf is the kind of a refusal, in the protocol's word.
func reasonOf(ctx context.Context, err error) string {
	if err == nil {
		return ""
	}
	code, detail := answer(ctx, err)
	if detail == nil {
		return snake(code.String())
	}
	return kindWord(detail.GetKind())
}

func kindWord(kind bastionlabv1.ErrorDetail_Kind) string {
	return strings.ToLower(strings.TrimPrefix(kind.String(), "KIND_"))
}

// snake is a code of gRPC's, such as DeadlineExceeded, in the form of the protocol's words.
func snake(code string) string {
	var word strings.Builder
	for i, letter := range code {
		if i > 0 && letter >= 'A' && letter <= 'Z' {
			word.WriteByte('_')
		}
		word.WriteString(strings.ToLower(string(letter)))
	}
	return word.String()
}

// bindingText is a binding as the audit log names it.
func bindingText(binding bastionlabv1.Binding) string {
	switch binding {
	case bastionlabv1.Binding_BINDING_KEY:
		return "key"
	case bastionlabv1.Binding_BINDING_EXPORTER:
		return "exporter"
	}
	return ""
}
