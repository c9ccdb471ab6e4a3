package verification

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gsg "github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// summer is when the certificates of all samples were valid; that of the provider's key ended in December 2025.
var summer = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)

// sample is a report of a real machine. It is about somebody else's data, so that the furthest it comes is the binding.
type sample struct{ name, report, key, chain string }

var samples = []sample{
	{"Milan, on premises, version 2", "test-report.bin", "test-vcek.der", "ask_ark_milan.pem"},
	{"Milan, Azure", "az_milan_report.bin", "az_milan_vcek.der", "ask_ark_milan.pem"},
	{"Genoa, Azure", "az_genoa_report.bin", "az_genoa_vcek.der", "ask_ark_genoa.pem"},
	{"Siena, on premises", "bm_siena_report.bin", "bm_siena_vcek.der", "ask_ark_genoa.pem"},
	{"Milan, AWS, a provider's key", "test-vlek-report.bin", "test-vlek.der", "ask_ark_milan_vlek.pem"},
}

func genuine(t testing.TB, name string) []byte {
	t.Helper()
	folder := os.Getenv("BASTIONLAB_GENUINE_EVIDENCE")
	if folder == "" {
		t.Skip("BASTIONLAB_GENUINE_EVIDENCE names no folder with reports of real machines")
	}
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (s sample) evidence(t testing.TB) *bastionlabv1.Evidence {
	t.Helper()
	return snpEvidence(t, genuine(t, s.report), genuine(t, s.key), genuine(t, s.chain))
}

func snpEvidence(t testing.TB, report, key, chain []byte) *bastionlabv1.Evidence {
	t.Helper()
	ask, rest := pem.Decode(chain)
	ark, _ := pem.Decode(rest)
	return &bastionlabv1.Evidence{Format: "sev-snp", Report: report, Endorsements: [][]byte{key, ask.Bytes, ark.Bytes}, Claims: someClaims(t), Binding: 1, TreeSize: 1}
}

func someClaims(t testing.TB) []byte {
	t.Helper()
	claims, err := proto.Marshal(&bastionlabv1.Claims{Version: "1.0.0", ConfigDigest: make([]byte, 48), StorageLevel: "memory"})
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// tailored is the policy that takes just this evidence.
func tailored(t testing.TB, evidence *bastionlabv1.Evidence) Policy {
	t.Helper()
	proposed, err := Propose(evidence)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParsePolicy(proposed)
	if err != nil {
		t.Fatalf("%v\n%s", err, proposed)
	}
	return p
}

func judge(evidence *bastionlabv1.Evidence, p Policy, now time.Time) (Attested, error) {
	return Verify(evidence, make([]byte, 32), attestation.Channel{Binding: 1}, p, now, AMDRoots())
}

func TestGenuineReports(t *testing.T) {
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			evidence := s.evidence(t)
			got, err := judge(evidence, tailored(t, evidence), summer)
			refusedUnder(t, err, "binding")
			if want := snpChecks[:slices.Index(snpChecks, "binding")]; !slices.Equal(names(got.Checks), want) {
				t.Errorf("checks %v", names(got.Checks))
			}
		})
	}
}

func TestGenuineReportsUnderOtherPolicies(t *testing.T) {
	milan, vlek, siena := samples[1], samples[4], samples[3]
	for name, test := range map[string]struct {
		sample
		check  string
		now    time.Time
		change func(*Policy)
	}{
		"the provider's key has expired":       {vlek, "chain", today, func(*Policy) {}},
		"a provider's key, unasked":            {vlek, "signer", summer, func(p *Policy) { p.SigningKeys = []string{"VCEK"} }},
		"the provider's guest is not in VMPL0": {vlek, "vmpl", summer, func(p *Policy) { p.VMPL = 0 }},
		"a Siena has no Genoa's floor":         {siena, "tcb", summer, func(p *Policy) { p.TCB = map[string]Floor{"Genoa": {}} }},
		"before its time":                      {milan, "chain", summer.AddDate(-20, 0, 0), func(*Policy) {}},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := test.evidence(t)
			p := tailored(t, evidence)
			test.change(&p)
			_, err := judge(evidence, p, test.now)
			refusedUnder(t, err, test.check)
		})
	}
	t.Run("a certificate of another Milan", func(t *testing.T) {
		evidence := milan.evidence(t)
		p := tailored(t, evidence)
		evidence.Endorsements[0] = genuine(t, "test-vcek.der")
		_, err := judge(evidence, p, summer)
		refusedUnder(t, err, "signature")
	})
	t.Run("the intermediate of the other kind of key", func(t *testing.T) {
		evidence := milan.evidence(t)
		p := tailored(t, evidence)
		evidence.Endorsements[1] = vlek.evidence(t).Endorsements[1]
		_, err := judge(evidence, p, summer)
		refusedUnder(t, err, "chain")
	})
}

// The sample that go-sev-guest carries is of a guest that its host may debug.
func TestADebugGuestOfARealMachine(t *testing.T) {
	evidence := snpEvidence(t, gsg.AttestationBytes, gsg.VcekBytes, trust.AskArkMilanVcekBytes)
	_, err := judge(evidence, tailored(t, evidence), summer)
	refusedUnder(t, err, "debug")
}

// What is pinned is what AMD hands out, for keys of chips and of providers alike.
func TestAMDRoots(t *testing.T) {
	for product, files := range map[string][][]byte{
		"Milan": {trust.AskArkMilanVcekBytes, trust.AskArkMilanVlekBytes}, "Genoa": {trust.AskArkGenoaVcekBytes, trust.AskArkGenoaVlekBytes},
		"Turin": {trust.AskArkTurinVcekBytes, trust.AskArkTurinVlekBytes},
	} {
		for _, file := range files {
			evidence := snpEvidence(t, nil, gsg.VcekBytes, file)
			c, err := parseChain(evidence.Endorsements)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(AMDRoots()[product], keyDigest(c.root)) || c.root.Subject.CommonName != "ARK-"+product {
				t.Errorf("%s: %s has %s", product, c.root.Subject.CommonName, keyDigest(c.root))
			}
			if err := issued("ARK", c.root, c.root, summer); err != nil {
				t.Error(err)
			}
			if err := issued("ASK", c.intermediate, c.root, summer); err != nil {
				t.Error(err)
			}
		}
	}
}

// Whatever bit of a genuine report or certificate is turned, it is refused: there is nothing in them that nobody looks at.
func TestEveryByteOfAGenuineReport(t *testing.T) {
	for _, s := range []sample{samples[3], samples[4]} {
		evidence := s.evidence(t)
		p := tailored(t, evidence)
		refusedBeforeTheBinding := func(t *testing.T, what string, e *bastionlabv1.Evidence) {
			t.Helper()
			got, err := judge(e, p, summer)
			if err == nil || slices.Contains(names(got.Checks), "host_data") {
				t.Fatalf("%s is taken", what)
			}
		}
		for what, part := range map[string]func(e *bastionlabv1.Evidence) *[]byte{
			"report":      func(e *bastionlabv1.Evidence) *[]byte { return &e.Report },
			"certificate": func(e *bastionlabv1.Evidence) *[]byte { return &e.Endorsements[0] },
		} {
			t.Run(strings.Join([]string{s.name, what}, ", "), func(t *testing.T) {
				original := bytes.Clone(*part(evidence))
				changed := clone(evidence)
				for i := range original {
					for _, bit := range []byte{0x01, 0x80} {
						*part(changed) = bytes.Clone(original)
						(*part(changed))[i] ^= bit
						refusedBeforeTheBinding(t, what, changed)
					}
				}
				for n := 0; n < len(original); n += 7 {
					*part(changed) = original[:n]
					refusedBeforeTheBinding(t, what, changed)
				}
			})
		}
	}
}
