package audit

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// IntegrityError says which line does not fit, and why.
type IntegrityError struct {
	File   string
	Line   int64 // in that file, counted from 1; 0: none in particular
	Reason string
}

func (e *IntegrityError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("the audit log does not hold: %s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("the audit log does not hold: %s, line %d: %s", e.File, e.Line, e.Reason)
}

// full says whether an error means that there is no room.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// unavailable is what everything gets that would have to be noted, once the log cannot be written any more.
func unavailable(cause error) error {
	return fmt.Errorf("%w (%w)", refusal.New(refusal.Unavailable, "ask the server's operator to look at the disk and to restart the server",
		"the audit log cannot be written, and nothing that changes anything is done until the server was restarted"), cause)
}

func noRoom(cause error) error {
	return fmt.Errorf("%w (%w)", refusal.New(refusal.Unavailable, "ask the server's operator to make room, then try again",
		"the server's disk is full, and the audit log has no room for this"), cause)
}

func tooMany() error {
	return refusal.New(refusal.Unavailable, "wait ten minutes",
		"you have made more than %d calls that change something within ten minutes, and the audit log takes no more of one user; nothing was done", changesOfUser)
}
