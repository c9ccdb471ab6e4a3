package verification

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// Attested is what evidence proved. With a refusal it holds the checks that passed before it, and no claims.
type Attested struct {
	Claims      *bastionlabv1.Claims
	Platform    string
	Measurement string
	ChipID      string // zeros where the host hides it; nothing for TDX
	Checks      []CheckPassed
}

// attested is what one report says, its report data still unlooked at.
type attested struct {
	measurement, chipID string
	reportData          []byte
}

type verifier struct {
	trail
	format string
	policy Policy
	now    time.Time
	roots  Roots
	intel  string // the key of Intel's root
}

// Verify judges evidence that was given for a nonce on a channel. An error is a refusal of kind Attestation that names the check.
func Verify(evidence *bastionlabv1.Evidence, nonce []byte, channel attestation.Channel, policy Policy, now time.Time, roots Roots) (Attested, error) {
	v := &verifier{format: evidence.GetFormat(), policy: policy, now: now, roots: roots, intel: intelRoot}
	found, claims, err := v.verify(evidence, nonce, channel)
	if err != nil {
		return Attested{Platform: v.format, Checks: v.passed}, err
	}
	return Attested{claims, v.format, found.measurement, found.chipID, v.passed}, nil
}

func (v *verifier) verify(evidence *bastionlabv1.Evidence, nonce []byte, channel attestation.Channel) (attested, *bastionlabv1.Claims, error) {
	if len(evidence.GetReport()) == 0 {
		return attested{}, nil, refuse("evidence", "a report", "none")
	}
	found, err := v.report(evidence)
	if err != nil {
		return attested{}, nil, err
	}
	if err := v.bound(found.reportData, evidence, nonce, channel); err != nil {
		return attested{}, nil, err
	}
	claims := &bastionlabv1.Claims{}
	if err := proto.Unmarshal(evidence.GetClaims(), claims); err != nil {
		return attested{}, nil, refuse("format", "claims that can be read", "%d bytes that cannot", len(evidence.GetClaims()))
	}
	return found, claims, v.claims(claims)
}

// report sends the report to who can read it, where the policy takes its platform.
func (v *verifier) report(evidence *bastionlabv1.Evidence) (attested, error) {
	if !slices.Contains(platforms, v.format) {
		return attested{}, refuse("format", "one of "+list(platforms), "%.40q", v.format)
	}
	if !slices.Contains(v.policy.Platforms, v.format) {
		if v.format == attestation.FormatSimulated {
			return attested{}, refuse("simulated", "evidence from a real device", "simulated evidence")
		}
		return attested{}, refuse("policy", "a platform of "+orNone(v.policy.Platforms), "evidence of %s", v.format)
	}
	if v.format == attestation.FormatTDX {
		return v.tdx(evidence.GetReport(), evidence.GetEndorsements())
	}
	return v.snp(evidence.GetReport(), evidence.GetEndorsements())
}

// bound says whether the report is about this key, these claims, and an answer to this caller. It comes last of what is looked at in a report, so
// that no test of another check can pass by failing here.
func (v *verifier) bound(reportData []byte, evidence *bastionlabv1.Evidence, nonce []byte, channel attestation.Channel) error {
	if len(nonce) != attestation.NonceBytes {
		return refuse("binding", fmt.Sprintf("a nonce of %d bytes", attestation.NonceBytes), "%d", len(nonce))
	}
	known := []bastionlabv1.Binding{bastionlabv1.Binding_BINDING_KEY, bastionlabv1.Binding_BINDING_EXPORTER}
	if evidence.GetBinding() != channel.Binding || !slices.Contains(known, channel.Binding) {
		return refuse("binding", bindingName(channel.Binding), "%s", bindingName(evidence.GetBinding()))
	}
	if wanted := v.policy.Binding; wanted != bastionlabv1.Binding_BINDING_UNSPECIFIED && wanted != channel.Binding {
		return refuse("binding", bindingName(wanted)+", as the policy says", "%s", bindingName(channel.Binding))
	}
	leaf := attestation.Leaf(channel.Binding, [attestation.NonceBytes]byte(nonce), channel.Exporter)
	root, err := attestation.RootOf(leaf, evidence.GetLeafIndex(), evidence.GetTreeSize(), evidence.GetPath())
	if err != nil {
		return refuse("binding", "an audit path of the caller's leaf", "%s", err)
	}
	if attestation.ReportData(channel.PublicKey, evidence.GetClaims(), root) != [64]byte(reportData) {
		return refuse("binding", "a report about this key, this connection, this nonce and these claims", "a report about others")
	}
	v.pass("binding", "%s; one of %d callers", bindingName(channel.Binding), evidence.GetTreeSize())
	return nil
}

func bindingName(binding bastionlabv1.Binding) string {
	switch binding {
	case bastionlabv1.Binding_BINDING_KEY:
		return "bound to the server's key"
	case bastionlabv1.Binding_BINDING_EXPORTER:
		return "bound to the connection"
	}
	return "bound to nothing that is known"
}

// claims are what the server says of itself, which is believed now: the measured code said it.
func (v *verifier) claims(c *bastionlabv1.Claims) error {
	config := hex.EncodeToString(c.GetConfigDigest())
	if !v.policy.ConfigDigests.Has(config) {
		return refuse("config", v.policy.ConfigDigests.expected(), "%s", config)
	}
	v.pass("config", "%s", config)
	if least := v.policy.MinVersion; least != "" && !atLeast(c.GetVersion(), least) {
		return refuse("version", "at least "+least, "%.40q", c.GetVersion())
	}
	v.pass("version", "%.40q", c.GetVersion())
	if !slices.Contains(v.policy.StorageLevels, c.GetStorageLevel()) {
		return refuse("storage", orNone(v.policy.StorageLevels), "%.40q", c.GetStorageLevel())
	}
	v.pass("storage", "%s", c.GetStorageLevel())
	if c.GetDevelopment() && !v.policy.Development {
		return refuse("development", "a server with registered users", "one in development mode, which takes every key")
	}
	v.pass("development", "%t", c.GetDevelopment())
	return nil
}

// leastVersion is how a policy writes a version; a server's may say more after it.
var (
	leastVersion = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$`)
	anyVersion   = regexp.MustCompile(`(?s)^([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})([-+].*)?$`)
)

// atLeast compares versions as semantic versioning has it, as far as that matters here: what comes before a release is older than it. A version of
// another form is older than every other.
func atLeast(version, least string) bool {
	is, wanted := anyVersion.FindStringSubmatch(version), anyVersion.FindStringSubmatch(least)
	if is == nil || wanted == nil {
		return false
	}
	order := slices.Compare(numbers(is[1:4]), numbers(wanted[1:4]))
	return order > 0 || order == 0 && !strings.HasPrefix(is[4], "-")
}

func numbers(digits []string) []int {
	var numbers []int
	for _, d := range digits {
		number, _ := strconv.Atoi(d) // nine digits at most
		numbers = append(numbers, number)
	}
	return numbers
}
