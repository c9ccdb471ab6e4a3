// Package refusal is how the server says no. A refusal tells what was wrong, what was spent and what to do next, in words that hold no
// value computed from private data; it is made where the decision falls and turned into a gRPC status or an exit code once, at
// the edge.
//
// Non-goals: it is no logger, and no place for internal errors: what is not a *refusal.Error reaches a client as one fixed text.
package refusal

import (
	"errors"
	"fmt"
)

// Kind says which of the client's exceptions a refusal becomes.
type Kind int

// The kinds have the numbers of bastionlab.v1.ErrorDetail.Kind: never renumber.
const (
	InvalidArgument   Kind = 1
	BudgetExceeded    Kind = 2
	IncompatibleModel Kind = 3
	PermissionDenied  Kind = 4
	Attestation       Kind = 5
	NotFound          Kind = 6
	Unavailable       Kind = 7
	VersionMismatch   Kind = 8
	TrainingFailed    Kind = 9
	Internal          Kind = 10
	Unauthenticated   Kind = 11
)

// Nothing is what most refusals cost.
const Nothing = "nothing"

// Error is a refusal. What, Spent and Next are lower-case sentences without a final stop.
type Error struct {
	Kind  Kind
	What  string
	Spent string
	Next  string

	Budget *Budget // with BudgetExceeded
	Model  *Model  // with IncompatibleModel
	Check  *Check  // with Attestation
}

// Budget holds the figures of a BudgetExceeded, each in units of 1e-9.
type Budget struct{ LimitNano, SpentNano, RequestedNano, RemainingNano int64 }

// Model names what the engine does not take.
type Model struct{ Operator, Layer, Reason string }

// Check is what could not be proved.
type Check struct{ Name, Expected, Seen string }

// New makes a refusal that cost nothing. next may be empty where nothing can be advised.
func New(kind Kind, next, format string, args ...any) *Error {
	return &Error{Kind: kind, What: fmt.Sprintf(format, args...), Spent: Nothing, Next: next}
}

func (e *Error) Error() string {
	text := e.What
	if e.Spent != "" {
		text += "; spent: " + e.Spent
	}
	if e.Next != "" {
		text += "; " + e.Next
	}
	return text
}

// KindOf returns the kind of the refusal that err wraps, and Internal for any other error.
func KindOf(err error) Kind {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Kind
	}
	return Internal
}
