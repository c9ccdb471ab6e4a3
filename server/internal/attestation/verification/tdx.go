package verification

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tdx-guest/abi"
	"github.com/google/go-tdx-guest/pcs"
	pb "github.com/google/go-tdx-guest/proto/tdx"
	"github.com/google/go-tdx-guest/verify"
)

// What a TD's attributes say (Intel TDX Module Base Architecture Specification, ATTRIBUTES).
const (
	attributesUntrusted = 0xFF    // any of them, the debug bit being the first, makes the TD one that the host can look into
	attributeNoSurprise = 1 << 28 // SEPT_VE_DISABLE: the host cannot make private pages fault in the guest
	attributeMigratable = 1 << 29
	attributesHarmless  = attributeNoSurprise | 1<<27 | 1<<30 | 1<<31 | 1<<63 // LASS, PKS, KL, PERFMON: the guest's own affair
)

// tdx judges a quote of Intel TDX. Chain, signatures and TCB are go-tdx-guest's to verify; it does not look at the TD's attributes, which are
// looked at before, and knows no quote of version 5.
func (v *verifier) tdx(raw []byte, endorsements [][]byte) (attested, error) {
	q, err := parseQuote(raw)
	if err != nil {
		return attested{}, err
	}
	for _, check := range []func(*quote) error{v.tdMeasurements, v.tdAttributes} {
		if err := check(q); err != nil {
			return attested{}, err
		}
	}
	if q.version != 4 {
		return attested{}, refuse("format", "a quote of version 4", "version %d, which cannot be verified yet", q.version)
	}
	v.pass("format", "quote version %d", q.version)
	c, err := parseCollateral(endorsements)
	if err != nil {
		return attested{}, err
	}
	if err := readable(func() error { return v.intelsPart(raw, q, c) }); err != nil {
		return attested{}, err
	}
	return attested{q.measurement(), "", q.reportData()}, nil
}

// SECURITY: no policy can allow what is refused here.
func (v *verifier) tdAttributes(q *quote) error {
	attributes := q.attributes()
	if attributes&attributesUntrusted != 0 {
		return refuse("debug", "a TD whose memory the host cannot read", "attributes %#x", attributes)
	}
	if attributes&attributeMigratable != 0 {
		return refuse("migrate", "a TD that no migration TD may move", "attributes %#x", attributes)
	}
	if service := q.serviceTD(); !bytes.Equal(service, make([]byte, len(service))) {
		return refuse("migrate", "a TD without a service TD", "%x", service)
	}
	if attributes&^attributesHarmless != 0 || attributes&attributeNoSurprise == 0 {
		return refuse("policy_bits", "SEPT_VE_DISABLE, and no attribute that is not known", "attributes %#x", attributes)
	}
	v.pass("debug", "off")
	v.pass("migrate", "off")
	v.pass("policy_bits", "attributes %#x", attributes)
	return nil
}

// readable turns a panic into a refusal.
// SECURITY: the library takes a quote apart by the lengths that stand in it, and panics where they lie. What is hostile must be refused, not stop
// who looks at it.
func readable(judge func() error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = refuse("format", "a quote that can be read", "%v", panicked)
		}
	}()
	return judge()
}

// intelsPart has the quote verified twice: by itself, and with the collateral, so that a refusal names the half that failed.
func (v *verifier) intelsPart(raw []byte, q *quote, c *collateral) error {
	parsed, err := abi.QuoteToProto(raw)
	if err != nil {
		return refuse("format", "a quote that can be read", "%s", err)
	}
	v4, ok := parsed.(*pb.QuoteV4)
	if !ok {
		return refuse("format", "a quote of version 4", "%T", parsed)
	}
	leaf, roots, err := v.pckChain(v4)
	if err != nil {
		return err
	}
	options := &verify.Options{Getter: c, Now: v.now, TrustedRoots: roots}
	if err := verify.TdxQuote(parsed, options); errors.Is(err, verify.ErrHashVerificationFail) {
		return refuse("signature", "the quote to be signed by its attestation key", "%s", err)
	} else if err != nil {
		return refuse("chain", "a quote that chains to Intel's root", "%s", err)
	}
	v.pass("chain", "root key %s", v.intel)
	v.pass("signature", "ECDSA on P-256 with SHA-256")
	options.GetCollateral, options.CheckRevocations = true, true
	failure := verify.TdxQuote(parsed, options)
	enclave := v4.GetSignedData().GetCertificationData().GetQeReportCertificationData().GetQeReport().GetIsvSvn()
	levels, err := matchingLevels(q, enclave, leaf, c)
	if errors.Is(err, errNoLevel) {
		return refuse("tdx_status", "a platform that Intel has a status for", "%s", err)
	}
	if failure == nil {
		failure = err
	}
	return v.status(levels, failure)
}

// pckChain is the platform's certificate, and Intel's root as the only one that is trusted.
func (v *verifier) pckChain(q *pb.QuoteV4) (leaf *x509.Certificate, roots *x509.CertPool, err error) {
	rest := q.GetSignedData().GetCertificationData().GetQeReportCertificationData().GetPckCertificateChainData().GetPckCertChain()
	var found []*x509.Certificate
	for range 3 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, nil, refuse("chain", "three certificates", "%d", len(found))
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, refuse("chain", "certificates in PEM", "%s", err)
		}
		found = append(found, certificate)
	}
	// SECURITY: the root comes with the quote; nothing about it is believed but the key, and that because it is pinned.
	if digest := keyDigest(found[2]); digest != v.intel {
		return nil, nil, refuse("chain", "Intel's root key", "the key %s", digest)
	}
	roots = x509.NewCertPool()
	roots.AddCert(found[2])
	return found[0], roots, nil
}

// status says what Intel thinks of the platform's versions. failure is what was found wrong with quote and collateral together: that may be no more
// than a version that is not current, for the library takes only those, whatever a policy says.
func (v *verifier) status(levels []pcs.TcbLevel, failure error) error {
	for _, level := range levels {
		current := level.TcbStatus == pcs.TcbComponentStatusUpToDate
		if !slices.Contains(v.policy.TDX.Statuses, string(level.TcbStatus)) || failure != nil && !current {
			return refuse("tdx_status", "UpToDate", "%s, advisories %s", level.TcbStatus, orNone(level.AdvisoryIDs))
		}
		for _, advisory := range level.AdvisoryIDs {
			if !slices.Contains(v.policy.TDX.Advisories, advisory) {
				return refuse("tdx_status", "no advisory but "+orNone(v.policy.TDX.Advisories), "%s", advisory)
			}
		}
	}
	if failure != nil {
		return refuse("collateral", "collateral that holds for this quote", "%s", failure)
	}
	v.pass("collateral", "by Intel, for this platform")
	v.pass("tdx_status", "%s", levels[0].TcbStatus)
	return nil
}

// tdMeasurements: what runs in the TD, and which module of Intel's runs it.
func (v *verifier) tdMeasurements(q *quote) error {
	pinned := []struct {
		what, seen string
		allowed    Allowed
	}{{"MRTD", q.measurement(), v.policy.TDX.MRTD}, {"MRSEAM", q.moduleMeasurement(), v.policy.TDX.MRSeam}}
	for i, register := range v.policy.TDX.RTMRs {
		pinned = append(pinned, struct {
			what, seen string
			allowed    Allowed
		}{fmt.Sprintf("RTMR %d", i), q.register(i), register})
	}
	for _, p := range pinned {
		if !p.allowed.Has(p.seen) {
			return refuse("measurement", p.what+" "+p.allowed.expected(), "%s", p.seen)
		}
	}
	v.pass("measurement", "%s", q.measurement())
	// SECURITY: a policy that knows its chips means them, and a quote names none.
	if !v.policy.ChipIDs.any {
		return refuse("chip_id", v.policy.ChipIDs.expected(), "a quote of TDX, which names no chip")
	}
	return nil
}
