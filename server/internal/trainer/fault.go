package trainer

import (
	"errors"
	"fmt"
	"strings"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// refused is an error with a code of the protocol, before any data was given.
type refused struct {
	code   trainerv1.Fault_Code
	reason string
}

func (r *refused) Error() string { return fmt.Sprintf("%v: %s", r.code, r.reason) }

func refuse(code trainerv1.Fault_Code, format string, args ...any) error {
	return &refused{code, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return refuse(trainerv1.Fault_CODE_BAD_REQUEST, format, args...)
}

// faultOf says what the server is told of an error met before the data was given.
func faultOf(err error) *trainerv1.Fault {
	var failure *Failure
	if errors.As(err, &failure) {
		return &trainerv1.Fault{
			Code: codeOf(failure.Status), Operator: readable(failure.Operator), Layer: readable(failure.Layer), Reason: readable(failure.Reason),
		}
	}
	var own *refused
	if errors.As(err, &own) {
		return &trainerv1.Fault{Code: own.code, Reason: readable(own.reason)}
	}
	// Of the operator table, by package program.
	var judged *refusal.Error
	if errors.As(err, &judged) && judged.Model != nil {
		return &trainerv1.Fault{
			Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: judged.Model.Operator, Layer: judged.Model.Layer, Reason: judged.Model.Reason,
		}
	}
	return &trainerv1.Fault{Code: trainerv1.Fault_CODE_INTERNAL}
}

// readable is a text as a frame can hold it: libtorch quotes the author's bytes, and the engine cuts what is long within a letter.
func readable(text string) string { return strings.ToValidUTF8(text, "?") }

// bareFault is all that is told of an error met afterwards.
// PRIVACY: neither code nor text depends on what went wrong: that a record broke the model is a fact about the record.
func bareFault() *trainerv1.Fault { return &trainerv1.Fault{Code: trainerv1.Fault_CODE_INTERNAL} }

func codeOf(status Status) trainerv1.Fault_Code {
	switch status {
	case BadArchive:
		return trainerv1.Fault_CODE_BAD_ARCHIVE
	case IncompatibleModel:
		return trainerv1.Fault_CODE_INCOMPATIBLE_MODEL
	case ForwardFailed:
		return trainerv1.Fault_CODE_FORWARD_FAILED
	case LossMismatch:
		return trainerv1.Fault_CODE_LOSS_MISMATCH
	case OutOfMemory:
		return trainerv1.Fault_CODE_OUT_OF_MEMORY
	case InvalidArgument:
		return trainerv1.Fault_CODE_BAD_REQUEST
	}
	return trainerv1.Fault_CODE_INTERNAL
}
