package verification

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	tdxtest "github.com/google/go-tdx-guest/testing"
	"github.com/google/go-tdx-guest/testing/testdata"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// then is when the collateral that go-tdx-guest carries was current.
var then = time.Date(2023, 7, 1, 1, 0, 0, 0, time.UTC)

// intelsCollateral is what Intel's service said in 2023 about the machine of the quote that go-tdx-guest carries.
func intelsCollateral(t testing.TB) map[string]string {
	t.Helper()
	chain := func(headers map[string][]string, name string) string {
		text, err := url.QueryUnescape(headers[name][0])
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	body := func(answer []byte, name string) (string, string) {
		var parts map[string]json.RawMessage
		if err := json.Unmarshal(answer, &parts); err != nil {
			t.Fatal(err)
		}
		return string(parts[name]), strings.Trim(string(parts["signature"]), `"`)
	}
	tcbInfo, tcbSignature := body(testdata.TcbInfoBody, "tcbInfo")
	identity, identitySignature := body(testdata.QeIdentityBody, "enclaveIdentity")
	return map[string]string{
		"pck_crl_issuer_chain":     chain(tdxtest.PckCrlHeader, "Sgx-Pck-Crl-Issuer-Chain"),
		"root_ca_crl":              hex.EncodeToString(testdata.RootCrlBody),
		"pck_crl":                  hex.EncodeToString(testdata.PckCrlBody),
		"tcb_info_issuer_chain":    chain(tdxtest.TcbInfoHeader, "Tcb-Info-Issuer-Chain"),
		"tcb_info":                 tcbInfo,
		"tcb_info_signature":       tcbSignature,
		"qe_identity_issuer_chain": chain(tdxtest.QeIdentityHeader, "Sgx-Enclave-Identity-Issuer-Chain"),
		"qe_identity":              identity,
		"qe_identity_signature":    identitySignature,
	}
}

func tdxEvidence(t testing.TB, quote []byte, collateral any) *bastionlabv1.Evidence {
	t.Helper()
	evidence := &bastionlabv1.Evidence{Format: "tdx", Report: bytes.Clone(quote), Claims: someClaims(t), Binding: 1, TreeSize: 1}
	if collateral != nil {
		encoded, err := json.Marshal(collateral)
		if err != nil {
			t.Fatal(err)
		}
		evidence.Endorsements = [][]byte{encoded}
	}
	return evidence
}

// The quote that go-tdx-guest carries and the collateral beside it are Intel's own, and hold; but that machine was behind every level that Intel still
// had a status for. So far does genuine evidence go without a TDX machine.
func TestAGenuineQuoteAndItsCollateral(t *testing.T) {
	good := func() *bastionlabv1.Evidence { return tdxEvidence(t, testdata.RawQuote, intelsCollateral(t)) }
	p := tailored(t, good())
	got, err := judge(good(), p, then)
	refusedUnder(t, err, "tdx_status")
	if want := []string{"debug", "migrate", "format", "chain", "signature"}; !slices.Equal(names(got.Checks), want) {
		t.Errorf("checks %v", got.Checks)
	}
	flip := func(at int) func(e *bastionlabv1.Evidence) {
		return func(e *bastionlabv1.Evidence) { e.Report[at] ^= 1 }
	}
	with := func(name, value string) func(e *bastionlabv1.Evidence) {
		return func(e *bastionlabv1.Evidence) {
			c := intelsCollateral(t)
			if c[name] = value; value == "" {
				delete(c, name)
			}
			e.Endorsements = tdxEvidence(t, nil, c).Endorsements
		}
	}
	rootAt := bytes.LastIndex(testdata.RawQuote, []byte("-----BEGIN CERTIFICATE-----"))
	for name, test := range map[string]struct {
		check  string
		change func(e *bastionlabv1.Evidence)
	}{
		"no collateral":                         {"collateral", func(e *bastionlabv1.Evidence) { e.Endorsements = nil }},
		"empty collateral":                      {"collateral", func(e *bastionlabv1.Evidence) { e.Endorsements = [][]byte{{}} }},
		"two collaterals":                       {"collateral", func(e *bastionlabv1.Evidence) { e.Endorsements = append(e.Endorsements, e.Endorsements[0]) }},
		"collateral that is no JSON":            {"collateral", func(e *bastionlabv1.Evidence) { e.Endorsements = [][]byte{[]byte("x")} }},
		"collateral without a part":             {"collateral", with("pck_crl", "")},
		"collateral with more":                  {"collateral", with("x", "y")},
		"a list that is no hex":                 {"collateral", with("pck_crl", "x")},
		"TCB info that is no object":            {"collateral", with("tcb_info", "[]")},
		"TCB info that ends early":              {"collateral", with("tcb_info", `{},"tcbInfo":{}`)},
		"an attested body that was changed":     {"signature", flip(quoteHeader + 136)},
		"report data that were changed":         {"signature", flip(quoteHeader + 520)},
		"another kind of key":                   {"format", flip(2)},
		"another TEE":                           {"format", flip(4)},
		"another version":                       {"format", flip(0)},
		"a quote cut short":                     {"format", func(e *bastionlabv1.Evidence) { e.Report = e.Report[:600] }},
		"a quote without its signature":         {"format", func(e *bastionlabv1.Evidence) { e.Report = e.Report[:quoteHeader+bodyBytes+4] }},
		"a quote that says it has no signature": {"format", func(e *bastionlabv1.Evidence) { clear(e.Report[quoteHeader+bodyBytes : quoteHeader+bodyBytes+4]) }},
		"a TD that the host can read":           {"debug", flip(quoteHeader + 120)},
		"a TD that may be moved":                {"migrate", func(e *bastionlabv1.Evidence) { e.Report[quoteHeader+123] |= 1 << 5 }},
		"an attribute of tomorrow":              {"format", flip(quoteHeader + 121)},
		"a root of somebody else's":             {"chain", func(e *bastionlabv1.Evidence) { copy(e.Report[rootAt:], bytes.Repeat([]byte(" "), 30)) }},
	} {
		t.Run(name, func(t *testing.T) {
			e := good()
			test.change(e)
			_, err := judge(e, p, then)
			refusedUnder(t, err, test.check)
		})
	}
}

// Two more quotes of real machines: one of a TD in debug mode, one of version 5.
func TestGenuineQuotes(t *testing.T) {
	for name, test := range map[string]struct{ file, check string }{
		"a debug TD":           {"tdx_quote_4.dat", "debug"},
		"a quote of version 5": {"tdx_quote_5.dat", "format"},
	} {
		t.Run(name, func(t *testing.T) {
			e := tdxEvidence(t, genuine(t, test.file), intelsCollateral(t))
			_, err := judge(e, tailored(t, e), then)
			t.Log(err)
			refusedUnder(t, err, test.check)
		})
	}
}
