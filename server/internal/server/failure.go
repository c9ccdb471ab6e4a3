package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// ErrorTrailer is the trailing metadata key that carries a bastionlab.v1.ErrorDetail.
const ErrorTrailer = "bastionlab-error-bin"

// internalText is all that a client reads about a failure that nobody foresaw.
const internalText = "the server failed; its log says more under the request id"

// codeOf says how a generic gRPC client sees each kind of refusal. Ours reads the ErrorDetail.
var codeOf = map[refusal.Kind]codes.Code{
	refusal.InvalidArgument:   codes.InvalidArgument,
	refusal.BudgetExceeded:    codes.ResourceExhausted,
	refusal.IncompatibleModel: codes.InvalidArgument,
	refusal.PermissionDenied:  codes.PermissionDenied,
	refusal.Attestation:       codes.FailedPrecondition,
	refusal.NotFound:          codes.NotFound,
	refusal.Unavailable:       codes.Unavailable,
	refusal.VersionMismatch:   codes.FailedPrecondition,
	refusal.TrainingFailed:    codes.Aborted,
	refusal.Internal:          codes.Internal,
	refusal.Unauthenticated:   codes.Unauthenticated,
}

// transportError marks what gRPC itself reported while a message was received, so that it is not taken for a failure of the server.
type transportError struct{ cause error }

func (e transportError) Error() string { return "receive: " + e.cause.Error() }
func (e transportError) Unwrap() error { return e.cause }

// transportErrorOf leaves the end of a stream as it is.
func transportErrorOf(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return transportError{err}
}

// answer turns an error of the domain into what the client reads. detail is nil where the caller has gone and nobody reads.
func answer(ctx context.Context, err error) (code codes.Code, detail *bastionlabv1.ErrorDetail) {
	var transport transportError
	if errors.As(err, &transport) {
		return status.Code(transport.cause), nil // gRPC has answered already, and what it said cannot be changed
	}
	var refused *refusal.Error
	if errors.As(err, &refused) {
		return codeOf[refused.Kind], detailOf(refused)
	}
	if cause := ctx.Err(); cause != nil {
		return status.FromContextError(cause).Code(), nil
	}
	// PRIVACY: an error that is no refusal may quote anything, so its text stays here.
	return codes.Internal, detailOf(&refusal.Error{Kind: refusal.Internal, What: internalText})
}

// Bounds of the texts in an ErrorDetail. A Python client takes 8 KiB of trailing metadata in all, and binary values grow by a third.
const (
	maxWhatBytes     = 1024
	maxSentenceBytes = 512
	maxNameBytes     = 256
)

func detailOf(refused *refusal.Error) *bastionlabv1.ErrorDetail {
	detail := &bastionlabv1.ErrorDetail{
		Kind:  bastionlabv1.ErrorDetail_Kind(refused.Kind),
		What:  printable(refused.What, maxWhatBytes),
		Spent: printable(refused.Spent, maxNameBytes),
		Next:  printable(refused.Next, maxSentenceBytes),
	}
	if budget := refused.Budget; budget != nil {
		detail.Budget = &bastionlabv1.BudgetExceeded{LimitNano: budget.LimitNano, SpentNano: budget.SpentNano,
			RequestedNano: budget.RequestedNano, RemainingNano: budget.RemainingNano}
	}
	if model := refused.Model; model != nil {
		detail.Model = &bastionlabv1.IncompatibleModel{Operator: printable(model.Operator, maxNameBytes),
			Layer: printable(model.Layer, maxNameBytes), Reason: printable(model.Reason, maxWhatBytes)}
	}
	if check := refused.Check; check != nil {
		detail.Check = &bastionlabv1.FailedCheck{Check: printable(check.Name, maxNameBytes),
			Expected: printable(check.Expected, maxSentenceBytes), Seen: printable(check.Seen, maxSentenceBytes)}
	}
	return detail
}

// printable keeps a text to what a terminal and a protobuf string take: a name in a refusal may come from a hostile model.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len("...")], "") + "..."
}

// statusOf is the gRPC status of an answer; its message is the start of what the detail says in full.
func statusOf(code codes.Code, detail *bastionlabv1.ErrorDetail) error {
	if detail == nil {
		return status.Error(code, strings.ToLower(code.String()))
	}
	text := detail.What
	if detail.Next != "" {
		text += "; " + detail.Next
	}
	return status.Error(code, printable(text, maxSentenceBytes))
}

func trailerOf(detail *bastionlabv1.ErrorDetail) (metadata.MD, error) {
	encoded, err := proto.Marshal(detail)
	if err != nil {
		return nil, fmt.Errorf("encode the error detail: %w", err)
	}
	return metadata.Pairs(ErrorTrailer, string(encoded)), nil
}
