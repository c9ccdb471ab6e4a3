package verification

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	"github.com/google/go-sev-guest/proto/sevsnp"
	snptest "github.com/google/go-sev-guest/testing"
	"github.com/google/go-sev-guest/validate"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// The second opinion is go-sev-guest's, told whom to believe and kept from the network.
func secondOpinion(t *testing.T, evidence *bastionlabv1.Evidence, line string, now time.Time) error {
	t.Helper()
	report, err := abi.ReportToProto(evidence.GetReport())
	if err != nil {
		return err
	}
	chain, err := parseChain(evidence.GetEndorsements())
	if err != nil {
		t.Fatal(err)
	}
	certificates := &sevsnp.CertificateChain{AskCert: chain.intermediate.Raw, ArkCert: chain.root.Raw}
	products := &trust.ProductCerts{Ark: chain.root}
	if (*[1184]byte)(evidence.GetReport())[0x48]>>2&7 == 1 {
		certificates.VlekCert, products.Asvk = chain.key.Raw, chain.intermediate
	} else {
		certificates.VcekCert, products.Ask = chain.key.Raw, chain.intermediate
	}
	roots := map[string][]*trust.AMDRootCerts{line: {{Product: line, ProductLine: line, ProductCerts: products}}}
	whole := &sevsnp.Attestation{Report: report, CertificateChain: certificates}
	return errors.Join(verify.SnpAttestation(whole, &verify.Options{DisableCertFetching: true, Now: now, TrustedRoots: roots}),
		validate.SnpAttestation(whole, &validate.Options{GuestPolicy: abi.SnpPolicy{SMT: true}, PermitProvisionalFirmware: true}))
}

// Both take the same genuine reports; of the Siena it says that it does not know the product.
func TestASecondOpinionOnGenuineReports(t *testing.T) {
	for i, line := range []string{"Milan", "Milan", "Genoa", "Genoa", "Milan"} {
		s := samples[i]
		t.Run(s.name, func(t *testing.T) {
			err := secondOpinion(t, s.evidence(t), line, summer)
			if known := i != 3; known != (err == nil) {
				t.Errorf("go-sev-guest says %v", err)
			}
		})
	}
}

// forged is a chain of AMD's names and shapes, made with the keys that go-sev-guest publishes.
func forged(t *testing.T) *bastionlabv1.Evidence {
	t.Helper()
	signer, err := snptest.DefaultTestOnlyCertChain("Milan-B1", today.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	evidence := milan().evidence(t)
	r := evidence.Report
	clear(r[0x180:0x188]) // its certificate is of version zero and a chip of zeros
	clear(r[0x1A0:0x1E0])
	x, y, err := signer.Sign(abi.SignedComponent(r))
	if err != nil {
		t.Fatal(err)
	}
	if err := abi.SetSignature(x, y, r); err != nil {
		t.Fatal(err)
	}
	evidence.Endorsements = [][]byte{signer.Vcek.Raw, signer.Ask.Raw, signer.Ark.Raw}
	return evidence
}

// go-sev-guest 0.14 took this chain with its default roots. It is refused for its root and nothing else: pinned, the same evidence passes on to
// what its report says.
func TestAChainThatNobodyAtAMDSigned(t *testing.T) {
	m, evidence := milan(), forged(t)
	p := policy(t, map[string]any{"chip_ids": null{}})
	_, err := Verify(evidence, m.nonce[:], m.channel, p, today, AMDRoots())
	refusedUnder(t, err, "chain")
	root, err := x509.ParseCertificate(evidence.Endorsements[2])
	if err != nil {
		t.Fatal(err)
	}
	_, err = Verify(evidence, m.nonce[:], m.channel, p, today, Roots{"Milan": {keyDigest(root)}})
	refusedUnder(t, err, "tcb")
	if product := kds.ProductLineFromFms(0); product == "Milan" {
		t.Error("the second opinion takes anything for a Milan")
	}
}

// Where one thing about a machine is changed, both opinions on its chain and signature are the same.
func TestASecondOpinionOnChains(t *testing.T) {
	for name, test := range map[string]struct {
		taken  bool
		change func(*machine)
	}{
		"as it should be":               {true, func(*machine) {}},
		"a changed report":              {false, func(m *machine) { m.spoil = func(r []byte) { r[0x90]++ } }},
		"a changed signature":           {false, func(m *machine) { m.spoil = func(r []byte) { r[0x2A0]++ } }},
		"the intermediate signs itself": {false, func(m *machine) { m.askSignedBy = drawn().intermediate }},
		"the chip's by another key":     {false, func(m *machine) { m.signedBy = drawn().other }},
		"another version":               {false, func(m *machine) { m.certified[7]-- }},
		"another chip":                  {false, func(m *machine) { m.hardwareID = filled(64, 0xC2) }},
		"an expired certificate":        {false, func(m *machine) { m.until[0] = today.Add(-time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := milan()
			test.change(m)
			evidence := m.evidence(t)
			_, err := Verify(evidence, m.nonce[:], m.channel, policy(t, nil), today, roots(t))
			other := secondOpinion(t, evidence, "Milan", today)
			if (err == nil) != test.taken || (other == nil) != test.taken {
				t.Errorf("ours: %v\ngo-sev-guest's: %v", err, other)
			}
		})
	}
}
