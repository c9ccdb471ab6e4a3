package verification

import (
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// CheckPassed is one check that held, and what it saw.
type CheckPassed struct {
	Name string `json:"check"`
	Seen string `json:"seen"`
}

// trail is what held so far, in the order in which it was looked at.
type trail struct{ passed []CheckPassed }

func (t *trail) pass(check, format string, args ...any) {
	t.passed = append(t.passed, CheckPassed{check, fmt.Sprintf(format, args...)})
}

// refuse makes the one kind of error that this package has.
func refuse(check, expected, format string, args ...any) error {
	seen := fmt.Sprintf(format, args...)
	if seen == "" {
		seen = "nothing"
	}
	refused := refusal.New(refusal.Attestation, advice(check), "the evidence fails the check %s: expected %s, got %s", check, expected, seen)
	refused.Check = &refusal.Check{Name: check, Expected: expected, Seen: seen}
	return refused
}

func advice(check string) string {
	switch check {
	case "policy":
		return "correct the policy; docs/attestation.md has its fields"
	case "measurement", "config", "chip_id", "tcb", "tdx_status", "version":
		return "send nothing; add what was seen to the policy only if you know by another way that it is right"
	case "binding", "tls":
		return "send nothing: this may be a relay; connect again, by a way that you trust"
	case "simulated":
		return `send nothing that is private; attestation="simulated" is for trying things out`
	default:
		return "send nothing; docs/attestation.md says what each check means"
	}
}
