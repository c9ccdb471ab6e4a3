package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// ErrTrainingFailed is the one answer to everything that goes wrong once a trainer may have records.
// PRIVACY: one value with one text: that, how and when records make a model fail is a fact about the records.
var ErrTrainingFailed = &refusal.Error{
	Kind:  refusal.TrainingFailed,
	What:  "the run ended without a result",
	Spent: "the whole charge of the run",
	Next:  "the reason may depend on records and is told to nobody: try the model on public data of the same schema before another run",
}

// faulted is a trainer's own refusal.
type faulted struct{ fault *trainerv1.Fault }

func (f *faulted) Error() string { return fmt.Sprintf("the trainer reports %v", f.fault.GetCode()) }

// task is what went on when something went wrong.
type task struct {
	name    string
	ifEnded string // what to do where it ended its process
}

var (
	judging = task{"judging the model", "save the model again with torch.jit.save; if that is of no help, it needs more memory than the server grants"}

	preparing = task{"preparing the run", "lower max_batch_size: most often the model needs more memory than the server grants"}
)

// refuse logs what the user is not told, and makes the refusal. Nothing of it is about records: the trainer had none.
func (l *Launcher) refuse(ctx context.Context, during task, err error) error {
	if ctx.Err() == nil {
		if l.config.Failed != nil {
			l.config.Failed(during.name, reasonOf(err))
		}
		l.config.Log.WarnContext(ctx, "trainer failed before it had data", "task", during.name, "cause", err.Error())
	}
	return refuse(during, err)
}

// Tasks are what a trainer does without records, and Reasons why it can fail at them, as Config.Failed hears of both.
func Tasks() []string { return []string{judging.name, preparing.name} }

// Reasons are all that reasonOf says.
func Reasons() []string {
	return []string{"refused the model", "out of memory", "stalled", "died", "broke the protocol", "did not start"}
}

func reasonOf(err error) string {
	var fault *faulted
	switch reasons := Reasons(); {
	case errors.As(err, &fault) && fault.fault.GetCode() == trainerv1.Fault_CODE_OUT_OF_MEMORY:
		return reasons[1]
	case errors.As(err, &fault):
		return reasons[0]
	case errors.Is(err, errStalled):
		return reasons[2]
	case errors.Is(err, errDied):
		return reasons[3]
	case errors.Is(err, errRubbish):
		return reasons[4]
	default:
		return reasons[5]
	}
}

// refuse says to the user what went wrong before any record was given.
func refuse(during task, err error) error {
	const askOperator = "ask the server's operator to look at its log"
	var fault *faulted
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", during.name, err)
	case errors.As(err, &fault):
		return refuseFault(during, fault.fault)
	case errors.Is(err, errStalled):
		return refusal.New(refusal.TrainingFailed, "try again with a smaller model or a smaller max_batch_size", "%s took too long and was stopped", during.name)
	case errors.Is(err, errDied):
		return refusal.New(refusal.TrainingFailed, during.ifEnded, "%s ended the process that did it", during.name)
	case errors.Is(err, errRubbish):
		return refusal.New(refusal.TrainingFailed, askOperator, "%s gave no usable answer", during.name)
	}
	return refusal.New(refusal.TrainingFailed, askOperator, "%s could not begin", during.name)
}

func refuseFault(during task, fault *trainerv1.Fault) error {
	model := &refusal.Model{Operator: plain(fault.GetOperator()), Layer: plain(fault.GetLayer()), Reason: plain(fault.GetReason())}
	because := ""
	if model.Reason != "" {
		because = ": " + model.Reason
	}
	ofModel := func(next, what string) error {
		refused := refusal.New(refusal.IncompatibleModel, next, "%s", what+because)
		refused.Model = model
		return refused
	}
	switch fault.GetCode() {
	case trainerv1.Fault_CODE_INCOMPATIBLE_MODEL:
		// Where the table has a line on the operator, it says more than the process that met it: why, and what to use in its place.
		if operators, err := program.Operators(); err == nil {
			if refused := operators.Refusal(model.Operator, model.Layer); refused != nil {
				return refused
			}
		}
		return ofModel("change this part of the model and send it again", "the model cannot be trained privately"+where(model))
	case trainerv1.Fault_CODE_FORWARD_FAILED:
		return ofModel("compare what forward takes with the dataset's schema: a model sees one record as a batch of one",
			"the model does not run on inputs of the dataset's schema"+where(model))
	case trainerv1.Fault_CODE_LOSS_MISMATCH:
		return ofModel("choose another loss, or change the model's output", "the model's output and the dataset's label do not fit the loss"+where(model))
	case trainerv1.Fault_CODE_BAD_ARCHIVE:
		return refusal.New(refusal.InvalidArgument, "save the model with torch.jit.save, by the version of torch that the server names",
			"the model cannot be read as TorchScript%s", because)
	case trainerv1.Fault_CODE_OUT_OF_MEMORY:
		return refusal.New(refusal.TrainingFailed, "lower max_batch_size, or take a smaller model", "the model does not fit into the memory that the server grants")
	case trainerv1.Fault_CODE_BAD_WEIGHTS:
		return refusal.New(refusal.TrainingFailed, "begin anew with restart=True", "the weights to go on from do not fit the model")
	case trainerv1.Fault_CODE_DIGEST_MISMATCH:
		return refusal.New(refusal.TrainingFailed, "upload the model again", "the stored model is not the one that was judged")
	case trainerv1.Fault_CODE_BAD_REQUEST:
		return refusal.New(refusal.TrainingFailed, "check the optimizer and the sizes that were asked for", "the trainer does not take these settings")
	}
	return refusal.New(refusal.TrainingFailed, "ask the server's operator to look at its log", "%s failed", during.name)
}

func where(model *refusal.Model) string {
	var parts []string
	if model.Layer != "" {
		parts = append(parts, "layer "+model.Layer)
	}
	if model.Operator != "" {
		parts = append(parts, model.Operator)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

const maxReasonRunes = 1024

// plain makes printable what comes from a process that has read a stranger's model.
func plain(text string) string {
	runes := []rune(strings.ToValidUTF8(text, "?"))
	if len(runes) > maxReasonRunes {
		runes = runes[:maxReasonRunes]
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = ' '
		}
	}
	return strings.TrimSpace(string(runes))
}
