package verification

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// snp judges a report of SEV-SNP, or of the simulator, which makes the same. Its checks are in one order, here and in the Python client: what the
// bytes are, who signed them, what they say.
type snp struct {
	*verifier
	report  *report
	chain   chain
	product string
}

func (v *verifier) snp(raw []byte, endorsements [][]byte) (attested, error) {
	s := &snp{verifier: v}
	for _, check := range []func() error{
		func() error { return s.form(raw) }, s.signer, func() error { return s.parts(endorsements) }, s.signedByChip, s.sameChip, s.floor,
		s.measurement, s.debug, s.migrate, s.bits, s.platform, s.abi, s.level, s.guestSVN, s.names,
	} {
		if err := check(); err != nil {
			return attested{}, err
		}
	}
	return attested{s.report.measurement(), hex.EncodeToString(s.report.chipID()), s.report.reportData()}, nil
}

func (s *snp) form(raw []byte) error {
	if len(raw) != attestation.ReportBytes {
		return refuse("format", fmt.Sprintf("a report of %d bytes", attestation.ReportBytes), "%d", len(raw))
	}
	s.report = (*report)(raw)
	if !slices.Contains(s.policy.ReportVersions, s.report.version()) {
		return refuse("format", fmt.Sprintf("a report of version %v", s.policy.ReportVersions), "version %d", s.report.version())
	}
	if s.report.algorithm() != 1 {
		return refuse("format", "signature algorithm 1", "%d", s.report.algorithm())
	}
	if s.report.reserved() {
		return refuse("format", "zeros where a report has no meaning", "something else")
	}
	if policy := s.report.policy(); policy>>26 != 0 || policy>>17&1 == 0 {
		return refuse("format", "a guest policy of bits that are known", "%#x", policy)
	}
	s.pass("format", "report version %d", s.report.version())
	return nil
}

func (s *snp) signer() error {
	if !slices.Contains(s.policy.SigningKeys, s.report.signingKey()) {
		return refuse("signer", list(s.policy.SigningKeys), "%s", s.report.signingKey())
	}
	s.pass("signer", "%s", s.report.signingKey())
	return nil
}

// parts finds the product, and the chain from its root.
func (s *snp) parts(endorsements [][]byte) (err error) {
	if s.chain, err = parseChain(endorsements); err != nil {
		return err
	}
	if s.product, err = s.productOfReport(); err != nil {
		return err
	}
	s.pass("product", "%s", floorKey(s.product, s.report))
	if err := s.chain.verify(s.pinned(s.product), s.report.signingKey(), s.now); err != nil {
		return err
	}
	s.pass("chain", "root key %s", keyDigest(s.chain.root))
	return nil
}

// productOfReport: reports of version 2 do not name the CPU, and the certificate does, which its chain vouches for.
func (s *snp) productOfReport() (string, error) {
	if s.report.version() >= 3 {
		return productOf(s.report.family(), s.report.model())
	}
	product, _, _ := strings.Cut(s.chain.productName(), "-")
	if _, known := layouts[product]; !known {
		return "", refuse("product", "a certificate for Milan, Genoa or Turin", "%.40q", s.chain.productName())
	}
	return product, nil
}

func (s *snp) signedByChip() error {
	if err := s.chain.signs(s.report); err != nil {
		return err
	}
	s.pass("signature", "ECDSA on P-384 with SHA-384")
	return nil
}

// sameChip: the certificate is of this chip, and of the TCB that the report states.
func (s *snp) sameChip() error {
	reported := tcbOf(s.product, s.report.reportedTCB())
	for _, p := range layouts[s.product] {
		if certified, ok := s.chain.version(p.arc); !ok || certified != int(reported[p.name]) {
			return refuse("vcek", fmt.Sprintf("a certificate for %s %d, as reported", p.name, reported[p.name]), "%d", certified)
		}
	}
	chip, certified := s.report.chipID(), s.chain.hardwareID()
	masked := bytes.Equal(chip, make([]byte, len(chip))) // the host may ask for that; the signature still is one chip's
	if s.report.signingKey() == "VCEK" && !masked && !bytes.Equal(certified, chip[:hardwareIDBytes[s.product]]) {
		return refuse("vcek", "a certificate of the chip "+hex.EncodeToString(chip), "%x", certified)
	}
	if rest := chip[hardwareIDBytes[s.product]:]; !bytes.Equal(rest, make([]byte, len(rest))) {
		return refuse("vcek", "zeros behind the chip's identifier", "%x", rest)
	}
	s.pass("vcek", "%s", reported)
	return nil
}

// floor: what is reported, what cannot be rolled back, and what the guest was launched on.
func (s *snp) floor() error {
	if s.policy.TCB == nil && s.format == attestation.FormatSimulated {
		return nil // there is no firmware to be old
	}
	key := floorKey(s.product, s.report)
	floor, stated := s.policy.TCB[key]
	if !stated {
		return refuse("tcb", "a CPU that the policy has a floor for", "%s", key)
	}
	for _, tcb := range []struct {
		what string
		is   Floor
	}{
		{"reported", tcbOf(s.product, s.report.reportedTCB())},
		{"committed", tcbOf(s.product, s.report.committedTCB())},
		{"launch", tcbOf(s.product, s.report.launchTCB())},
	} {
		for _, p := range layouts[s.product] {
			if tcb.is[p.name] < floor[p.name] {
				return refuse("tcb", fmt.Sprintf("%s of at least %d", p.name, floor[p.name]), "%s %s %d", tcb.what, p.name, tcb.is[p.name])
			}
		}
	}
	s.pass("tcb", "at least %s", floor)
	return nil
}

// pinned is what the root's key must be.
func (v *verifier) pinned(product string) func(string) bool {
	if v.format == attestation.FormatSimulated {
		// SECURITY: this list and AMD's never meet: what is simulated passes for nothing else, whatever the policy lists.
		return v.policy.Roots.Has
	}
	return func(digest string) bool { return slices.Contains(v.roots[product], digest) }
}
