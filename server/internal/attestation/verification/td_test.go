package verification

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// td is a TDX machine of an Intel that does not exist: with it the rest is tried that no genuine collateral is here for.
type td struct {
	root, platform, pck, signing, attestation *ecdsa.PrivateKey
	rootCert, platformCert                    *x509.Certificate
	pckCert, signingCert                      *x509.Certificate

	status, enclaveStatus string
	advisories            []string
	level                 int    // that a platform must reach
	fmspc                 string // of the TCB info
	revoked               []*big.Int
	otherSigner           bool // of the TCB info
	until                 time.Time
}

func newTD(t *testing.T) *td {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	d := &td{root: key(), platform: key(), pck: key(), signing: key(), attestation: key(), status: "UpToDate", enclaveStatus: "UpToDate", level: 1,
		fmspc: "50806f000000", until: today.AddDate(0, 1, 0)}
	certify := func(serial int64, name string, key *ecdsa.PrivateKey, issuer *x509.Certificate, by *ecdsa.PrivateKey, more ...pkix.Extension) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: today.AddDate(-1, 0, 0), NotAfter: today.AddDate(9, 0, 0),
			IsCA: len(more) == 0, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name), ExtraExtensions: more,
			CRLDistributionPoints: []string{"https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"}}
		if issuer == nil {
			issuer = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	d.rootCert = certify(1, "Intel SGX Root CA", d.root, nil, d.root)
	d.platformCert = certify(2, "Intel SGX PCK Platform CA", d.platform, d.rootCert, d.root)
	d.pckCert = certify(3, "Intel SGX PCK Certificate", d.pck, d.platformCert, d.platform, pckExtension(t))
	d.signingCert = certify(4, "Intel SGX TCB Signing", d.signing, d.rootCert, d.root)
	return d
}

// pckExtension states the platform's versions: all five.
func pckExtension(t *testing.T) pkix.Extension {
	t.Helper()
	type member struct {
		ID    asn1.ObjectIdentifier
		Value any
	}
	under := func(arc ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, arc...)
	}
	var versions []member
	for i := 1; i <= 16; i++ {
		versions = append(versions, member{under(2, i), 5})
	}
	versions = append(versions, member{under(2, 17), 5}, member{under(2, 18), filled(16, 5)})
	encoded, err := asn1.Marshal([]member{{under(1), filled(16, 1)}, {under(2), versions}, {under(3), filled(2, 0)}, {under(4), []byte{0x50, 0x80, 0x6f, 0, 0, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: under(), Value: encoded}
}

func signRaw(t *testing.T, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func inPEM(certificates ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

// quote of a TD whose measurements are 0xAB and whose registers are their numbers.
func (d *td) quote(t *testing.T, data [64]byte) []byte {
	t.Helper()
	le := binary.LittleEndian
	signed := make([]byte, quoteHeader+bodyBytes)
	copy(signed, []byte{4, 0, keyECDSA, 0, quoteTEE})
	copy(signed[12:], []byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07})
	body := signed[quoteHeader:]
	body[0], body[1] = 5, 1 // the TDX module's version: with levels of its own
	copy(body[16:], filled(48, 0x5E))
	body[123] = 1 << 4 // an attribute that takes nothing from the guest
	copy(body[136:], filled(48, 0xAB))
	for i := range 4 {
		copy(body[328+48*i:], filled(48, byte(i)))
	}
	copy(body[520:], data[:])
	key := append(d.attestation.X.FillBytes(make([]byte, 32)), d.attestation.Y.FillBytes(make([]byte, 32))...)
	enclave := make([]byte, 384)
	le.PutUint16(enclave[0x102:], 5)
	digest := sha256.Sum256(append(append([]byte{}, key...), 7))
	copy(enclave[0x140:], digest[:])
	chain := inPEM(d.pckCert, d.platformCert, d.rootCert)
	inner := append(append(append([]byte{}, enclave...), signRaw(t, d.pck, enclave)...), 1, 0, 7)
	inner = le.AppendUint16(inner, 5)
	inner = append(le.AppendUint32(inner, uint32(len(chain))), chain...)
	auth := append(signRaw(t, d.attestation, signed), key...)
	auth = le.AppendUint16(auth, 6)
	auth = append(le.AppendUint32(auth, uint32(len(inner))), inner...)
	return append(le.AppendUint32(signed, uint32(len(auth))), auth...)
}

func (d *td) collateral(t *testing.T) map[string]string {
	t.Helper()
	components := func(svn int) []map[string]any {
		var all []map[string]any
		for range 16 {
			all = append(all, map[string]any{"svn": svn, "category": "", "type": ""})
		}
		return all
	}
	module := components(0)
	level := func(status string, tcb map[string]any) []map[string]any {
		return []map[string]any{{"tcb": tcb, "tcbDate": "2025-01-01T00:00:00Z", "tcbStatus": status, "advisoryIDs": d.advisories}}
	}
	zeros := hex.EncodeToString(make([]byte, 48))
	dates := map[string]any{"issueDate": today.AddDate(0, -1, 0), "nextUpdate": d.until, "tcbEvaluationDataNumber": 1}
	info := map[string]any{"id": "TDX", "version": 3, "fmspc": d.fmspc, "pceId": "0000", "tcbType": 0,
		"tdxModule": map[string]any{"mrsigner": zeros, "attributes": "0000000000000000", "attributesMask": "FFFFFFFFFFFFFFFF"},
		"tdxModuleIdentities": []map[string]any{{"id": "TDX_01", "mrsigner": zeros, "attributes": "0000000000000000", "attributesMask": "FFFFFFFFFFFFFFFF",
			"tcbLevels": level("UpToDate", map[string]any{"isvsvn": 5})}},
		"tcbLevels": level(d.status, map[string]any{"sgxtcbcomponents": components(d.level), "pcesvn": d.level, "tdxtcbcomponents": module})}
	identity := map[string]any{"id": "TD_QE", "version": 2, "miscselect": "00000000", "miscselectMask": "FFFFFFFF", "attributes": hex.EncodeToString(make([]byte, 16)),
		"attributesMask": hex.EncodeToString(filled(16, 0xFF)), "mrsigner": hex.EncodeToString(make([]byte, 32)), "isvprodid": 0,
		"tcbLevels": level(d.enclaveStatus, map[string]any{"isvsvn": 5})}
	signer := d.signing
	if d.otherSigner {
		signer = d.attestation
	}
	write := func(body map[string]any) (text, signature string) {
		for name, value := range dates {
			body[name] = value
		}
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded), hex.EncodeToString(signRaw(t, signer, encoded))
	}
	list := func(issuer *x509.Certificate, by *ecdsa.PrivateKey) string {
		var entries []x509.RevocationListEntry
		for _, serial := range d.revoked {
			entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: today})
		}
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: today.AddDate(0, -2, 0), NextUpdate: d.until, RevokedCertificateEntries: entries}, issuer, by)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(der)
	}
	tcbInfo, tcbSignature := write(info)
	qeIdentity, qeSignature := write(identity)
	signers := string(inPEM(d.signingCert, d.rootCert))
	return map[string]string{
		"pck_crl_issuer_chain": string(inPEM(d.platformCert, d.rootCert)), "root_ca_crl": list(d.rootCert, d.root), "pck_crl": list(d.platformCert, d.platform),
		"tcb_info_issuer_chain": signers, "tcb_info": tcbInfo, "tcb_info_signature": tcbSignature,
		"qe_identity_issuer_chain": signers, "qe_identity": qeIdentity, "qe_identity_signature": qeSignature,
	}
}
