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

// byIntel is what there is to say of a quote without a policy for what runs in it.
func byIntel(e *bastionlabv1.Evidence) (*verifier, error) {
	v := &verifier{format: "tdx", now: then, intel: intelRoot, policy: Policy{TDX: TDXPolicy{Statuses: []string{"UpToDate"}}}}
	q, err := parseQuote(e.GetReport())
	if err != nil {
		return v, err
	}
	c, err := parseCollateral(e.GetEndorsements())
	if err != nil {
		return v, err
	}
	return v, readable(func() error { return v.intelsPart(e.GetReport(), q, c) })
}

// The quote that go-tdx-guest carries and the collateral beside it are Intel's own, and hold; but that machine was behind every level that Intel still
// had a status for. So far does genuine evidence go without a TDX machine.
func TestAGenuineQuoteAndItsCollateral(t *testing.T) {
	good := func() *bastionlabv1.Evidence { return tdxEvidence(t, testdata.RawQuote, intelsCollateral(t)) }
	v, err := byIntel(good())
	refusedUnder(t, err, "tdx_status")
	if want := []string{"chain", "signature"}; !slices.Equal(names(v.passed), want) {
		t.Errorf("checks %v", v.passed)
	}
	_, err = judge(good(), tailored(t, good()), then)
	refusedUnder(t, err, "policy_bits") // its TD lets the host surprise it
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
		"an attested body that was changed":     {"signature", flip(quoteHeader + 200)},
		"report data that were changed":         {"signature", flip(quoteHeader + 520)},
		"another kind of key":                   {"format", flip(2)},
		"another TEE":                           {"format", flip(4)},
		"another version":                       {"format", flip(1)},
		"a quote cut short":                     {"format", func(e *bastionlabv1.Evidence) { e.Report = slices.Clip(e.Report[:600]) }},
		"a quote without its signature":         {"format", func(e *bastionlabv1.Evidence) { e.Report = e.Report[:quoteHeader+bodyBytes+4] }},
		"a quote that says it has no signature": {"format", func(e *bastionlabv1.Evidence) { clear(e.Report[quoteHeader+bodyBytes : quoteHeader+bodyBytes+4]) }},
		"a root of somebody else's":             {"chain", func(e *bastionlabv1.Evidence) { copy(e.Report[rootAt:], bytes.Repeat([]byte(" "), 30)) }},
	} {
		t.Run(name, func(t *testing.T) {
			e := good()
			test.change(e)
			_, err := byIntel(e)
			refusedUnder(t, err, test.check)
		})
	}
}

// A TD's attributes are looked at before anything else is believed or not.
func TestAttributesOfATD(t *testing.T) {
	good := bytes.Clone(testdata.RawQuote)
	good[quoteHeader+123] |= 1 << 4
	p := tailored(t, tdxEvidence(t, good, nil))
	for name, test := range map[string]struct {
		check  string
		change func(attributes []byte)
	}{
		"as they should be":               {"collateral", func([]byte) {}},
		"a TD that the host can read":     {"debug", func(a []byte) { a[0] |= 1 }},
		"another way to look into it":     {"debug", func(a []byte) { a[0] |= 1 << 7 }},
		"a TD that may be moved":          {"migrate", func(a []byte) { a[3] |= 1 << 5 }},
		"an attribute of tomorrow":        {"policy_bits", func(a []byte) { a[1] |= 1 }},
		"a TD that the host can surprise": {"policy_bits", func(a []byte) { a[3] &^= 1 << 4 }},
	} {
		t.Run(name, func(t *testing.T) {
			e := tdxEvidence(t, good, nil)
			test.change(e.Report[quoteHeader+120:])
			_, err := judge(e, p, then)
			refusedUnder(t, err, test.check)
		})
	}
}

// Two more quotes of real machines: one of a TD in debug mode, one of version 5 that a service TD has a part in.
func TestGenuineQuotes(t *testing.T) {
	for name, test := range map[string]struct{ file, check string }{
		"a debug TD":          {"tdx_quote_4.dat", "debug"},
		"a TD with a service": {"tdx_quote_5.dat", "migrate"},
	} {
		t.Run(name, func(t *testing.T) {
			e := tdxEvidence(t, genuine(t, test.file), intelsCollateral(t))
			_, err := judge(e, tailored(t, e), then)
			refusedUnder(t, err, test.check)
		})
	}
}

// A quote of version 5 is read, and refused since nothing here can verify it.
func TestAQuoteOfVersion5(t *testing.T) {
	four := bytes.Clone(testdata.RawQuote)
	four[quoteHeader+123] |= 1 << 4
	make5 := func(kind, size uint16, more int) []byte {
		five := append([]byte{5}, four[1:quoteHeader]...)
		five = append(five, byte(kind), 0, byte(size), byte(size>>8), 0, 0)
		return append(append(append(five, four[quoteHeader:quoteHeader+bodyBytes]...), make([]byte, more)...), four[quoteHeader+bodyBytes:]...)
	}
	service := make5(bodyType15, bodyBytes15, 64)
	service[quoteHeader+descriptorSize+600] = 1
	with := func(at int, b byte) []byte {
		changed := bytes.Clone(service)
		changed[at] = b
		return changed
	}
	p := tailored(t, tdxEvidence(t, four, nil))
	for name, test := range map[string]struct {
		check string
		quote []byte
	}{
		"of TDX 1.0":        {"format", make5(bodyType10, bodyBytes, 0)},
		"of TDX 1.5":        {"format", make5(bodyType15, bodyBytes15, 64)},
		"of another size":   {"format", make5(bodyType15, bodyBytes, 0)},
		"of SGX":            {"format", make5(1, bodyBytes, 0)},
		"with a service TD": {"migrate", service},
		"of another TEE":    {"format", with(4, 0)},
		"of another key":    {"format", with(2, 3)},
		"cut short":         {"format", slices.Clip(make5(bodyType15, bodyBytes15, 0)[:quoteHeader+descriptorSize+bodyBytes])},
		"cut shorter":       {"format", slices.Clip(make5(bodyType10, bodyBytes, 0)[:quoteHeader+bodyBytes+4])},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := judge(tdxEvidence(t, test.quote, intelsCollateral(t)), p, then)
			refusedUnder(t, err, test.check)
		})
	}
}
