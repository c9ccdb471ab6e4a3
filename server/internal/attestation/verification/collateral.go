package verification

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/go-tdx-guest/pcs"
)

// collateral is what Intel's service says of a platform: which versions are current, and what was revoked. It travels with the evidence, in the JSON
// form of dcap-qvl's QuoteCollateralV3, and Intel signed it: who carried it does not matter, but it may be old, and then its dates say so.
type collateral struct {
	pckCRLIssuers, tcbInfoIssuers, qeIdentityIssuers string // PEM
	rootCRL, pckCRL                                  []byte // DER
	tcbInfo, qeIdentity                              []byte // as Intel's service answers
}

func parseCollateral(endorsements [][]byte) (*collateral, error) {
	if len(endorsements) != 1 || len(endorsements[0]) == 0 {
		return nil, refuse("collateral", "Intel's collateral with the evidence", "%d parts", len(endorsements))
	}
	members, err := strictObject(endorsements[0])
	if err != nil {
		return nil, refuse("collateral", "a JSON object", "%s", err)
	}
	c := &collateral{}
	r := textReader{members: members}
	c.pckCRLIssuers, c.tcbInfoIssuers = r.text("pck_crl_issuer_chain"), r.text("tcb_info_issuer_chain")
	c.qeIdentityIssuers = r.text("qe_identity_issuer_chain")
	c.rootCRL, c.pckCRL = r.hex("root_ca_crl"), r.hex("pck_crl")
	c.tcbInfo = r.answer("tcbInfo", "tcb_info", "tcb_info_signature")
	c.qeIdentity = r.answer("enclaveIdentity", "qe_identity", "qe_identity_signature")
	if r.failed == "" && len(members) != r.read {
		r.failed = "its members"
	}
	if r.failed != "" {
		return nil, refuse("collateral", "the members of a QuoteCollateralV3", "something wrong with %s", r.failed)
	}
	return c, nil
}

// textReader reads members that are all texts, and remembers the first that is not as it should be.
type textReader struct {
	members map[string]any
	read    int
	failed  string
}

func (r *textReader) fail(name string) {
	if r.failed == "" {
		r.failed = name
	}
}

func (r *textReader) text(name string) string {
	r.read++
	text, ok := r.members[name].(string)
	if !ok {
		r.fail(name)
	}
	return text
}

func (r *textReader) hex(name string) []byte {
	decoded, err := hex.DecodeString(r.text(name))
	if err != nil {
		r.fail(name)
	}
	return decoded
}

// answer puts a body and its signature together again, as Intel's service sends them.
// SECURITY: the body is one JSON object by itself, so that it cannot end early and bring a second body along: what is read is what is signed.
func (r *textReader) answer(key, body, signature string) []byte {
	text := r.text(body)
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) != nil || object == nil {
		r.fail(body)
		return nil
	}
	return fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, key, text, r.hex(signature))
}

// Get answers a verifier that believes it asks Intel's service.
// SECURITY: it answers from the evidence and has no way to the network.
func (c *collateral) Get(address string) (map[string][]string, []byte, error) {
	chain := func(name, pem string) map[string][]string { return map[string][]string{name: {url.QueryEscape(pem)}} }
	switch {
	case strings.Contains(address, "/tdx/certification/v4/tcb?"):
		return chain("Tcb-Info-Issuer-Chain", c.tcbInfoIssuers), c.tcbInfo, nil
	case address == pcs.QeIdentityURL():
		return chain("Sgx-Enclave-Identity-Issuer-Chain", c.qeIdentityIssuers), c.qeIdentity, nil
	case strings.Contains(address, "/sgx/certification/v4/pckcrl?"):
		return chain("Sgx-Pck-Crl-Issuer-Chain", c.pckCRLIssuers), c.pckCRL, nil
	case strings.HasSuffix(address, "/IntelSGXRootCA.der"):
		return nil, c.rootCRL, nil
	}
	return nil, nil, errors.New("the collateral has no answer to that")
}

func (c *collateral) tcb() (pcs.TcbInfo, pcs.EnclaveIdentity, error) {
	var info pcs.TdxTcbInfo
	var identity pcs.QeIdentity
	err := errors.Join(json.Unmarshal(c.tcbInfo, &info), json.Unmarshal(c.qeIdentity, &identity))
	return info.TcbInfo, identity.EnclaveIdentity, err
}
