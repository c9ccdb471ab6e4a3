package verification

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// keys of a maker that does not exist, drawn once.
type keys struct {
	root, intermediate, other *rsa.PrivateKey
	chip, small               *ecdsa.PrivateKey
}

var drawn = sync.OnceValue(func() keys {
	rsaKey := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	}
	ecKey := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	}
	return keys{rsaKey(), rsaKey(), rsaKey(), ecKey(elliptic.P384()), ecKey(elliptic.P256())}
})

// machine is what signs evidence in these tests: each test changes one thing about it.
type machine struct {
	format       string
	version      uint32
	family       byte
	model        byte
	policy       uint64
	platform     uint64
	vmpl, svn    uint32
	algorithm    uint32
	signer       uint32
	reported     [8]byte
	committed    [8]byte
	launch       [8]byte
	chip         [64]byte
	measurement  [48]byte
	idKey        [48]byte
	authorKey    [48]byte
	hostData     [32]byte
	key          *ecdsa.PrivateKey
	chipName     string
	certified    [8]byte
	hardwareID   []byte
	productName  string
	askName      string
	signedBy     *rsa.PrivateKey // the chip's certificate
	askSignedBy  *rsa.PrivateKey // the intermediate one
	algorithmOf  map[int]x509.SignatureAlgorithm
	until        map[int]time.Time // of a certificate, the chip's being 0
	issuerName   string            // that the chip's certificate names
	rootKey      *rsa.PrivateKey
	edit         func(report []byte) // before it is signed
	spoil        func(report []byte) // after
	endorsements func(chain [][]byte) [][]byte

	rawClaims []byte // in the place of claims
	sibling   []byte // of the caller's leaf, where two asked
	claims    *bastionlabv1.Claims
	binding   bastionlabv1.Binding
	nonce     [32]byte
	channel   attestation.Channel
}

func milan() *machine {
	k := drawn()
	tcb := [8]byte{3, 0, 0, 0, 0, 0, 24, 219}
	m := &machine{
		format: attestation.FormatSNP, version: 3, family: 0x19, model: 0x01, policy: 1<<17 | 1<<16 | 0x0137, platform: 1<<5 | 1, algorithm: 1, svn: 4,
		reported: tcb, committed: tcb, launch: tcb, certified: tcb, key: k.chip, chipName: "SEV-VCEK", productName: "Milan-B1", askName: "SEV-Milan",
		signedBy: k.intermediate, askSignedBy: k.root, rootKey: k.root, algorithmOf: map[int]x509.SignatureAlgorithm{}, until: map[int]time.Time{},
		claims:  &bastionlabv1.Claims{Version: "1.2.0", LedgerKey: make([]byte, 32), ConfigDigest: filled(48, 0xC0), BootId: "boot", StorageLevel: "memory"},
		binding: bastionlabv1.Binding_BINDING_EXPORTER,
		channel: attestation.Channel{PublicKey: []byte("key"), Binding: bastionlabv1.Binding_BINDING_EXPORTER, Exporter: [32]byte(filled(32, 0xE0))},
		nonce:   [32]byte(filled(32, 0x0E)),
	}
	copy(m.chip[:], filled(64, 0xC1))
	copy(m.measurement[:], filled(48, 0xAB))
	copy(m.idKey[:], filled(48, 0x1D))
	copy(m.authorKey[:], filled(48, 0xA0))
	copy(m.hostData[:], filled(32, 0xDA))
	m.hardwareID = m.chip[:]
	return m
}

func turin() *machine {
	m := milan()
	m.version, m.family, m.model, m.askName, m.productName = 5, 0x1A, 0x02, "SEV-Turin", "Turin-C1"
	tcb := [8]byte{1, 2, 0, 4, 0, 0, 0, 77}
	m.reported, m.committed, m.launch, m.certified = tcb, tcb, tcb, tcb
	m.chip = [64]byte{}
	copy(m.chip[:], filled(8, 0x77))
	m.hardwareID = filled(8, 0x77)
	return m
}

func filled(n int, b byte) []byte {
	bytes := make([]byte, n)
	for i := range bytes {
		bytes[i] = b
	}
	return bytes
}

// evidence of this machine for one caller.
func (m *machine) evidence(t testing.TB) *bastionlabv1.Evidence {
	t.Helper()
	claims, err := proto.Marshal(m.claims)
	if err != nil {
		t.Fatal(err)
	}
	if m.rawClaims != nil {
		claims = m.rawClaims
	}
	root, size, path := attestation.Leaf(m.channel.Binding, m.nonce, m.channel.Exporter), uint32(1), [][]byte(nil)
	if m.sibling != nil {
		size, path = 2, [][]byte{m.sibling}
		if root, err = attestation.RootOf(root, 0, size, path); err != nil {
			t.Fatal(err)
		}
	}
	data := attestation.ReportData(m.channel.PublicKey, claims, root)
	chain := m.chain(t)
	if m.endorsements != nil {
		chain = m.endorsements(chain)
	}
	return &bastionlabv1.Evidence{Format: m.format, Report: m.sign(t, data), Endorsements: chain, Claims: claims, Binding: m.binding, TreeSize: size, Path: path}
}

func (m *machine) sign(t testing.TB, data [64]byte) []byte {
	t.Helper()
	r := make([]byte, attestation.ReportBytes)
	put32, put64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	put32(r, m.version)
	put32(r[0x04:], m.svn)
	put64(r[0x08:], m.policy)
	put32(r[0x30:], m.vmpl)
	put32(r[0x34:], m.algorithm)
	put64(r[0x40:], m.platform)
	put32(r[0x48:], m.signer)
	for offset, field := range map[int][]byte{
		0x38: m.reported[:], 0x50: data[:], 0x90: m.measurement[:], 0xC0: m.hostData[:], 0xE0: m.idKey[:], 0x110: m.authorKey[:],
		0x180: m.reported[:], 0x188: {m.family, m.model, 1}, 0x1A0: m.chip[:], 0x1E0: m.committed[:], 0x1F0: m.launch[:],
	} {
		copy(r[offset:], field)
	}
	if m.edit != nil {
		m.edit(r)
	}
	digest := sha512.Sum384(r[:attestation.SignedBytes])
	x, y, err := ecdsa.Sign(rand.Reader, m.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	for at, number := range map[int]*big.Int{0x2A0: x, 0x2A0 + 72: y} {
		for i, b := range number.FillBytes(make([]byte, 48)) {
			r[at+47-i] = b
		}
	}
	if m.spoil != nil {
		m.spoil(r)
	}
	return r
}

const ark = "ARK-Milan"

func amdName(name string) pkix.Name {
	return pkix.Name{CommonName: name, Organization: []string{"Advanced Micro Devices"}, OrganizationalUnit: []string{"Engineering"},
		Country: []string{"US"}, Locality: []string{"Santa Clara"}, Province: []string{"CA"}}
}

// chain is made anew for every machine, for each may have another certificate wrong.
func (m *machine) chain(t testing.TB) [][]byte {
	t.Helper()
	issuer := m.askName
	if m.issuerName != "" {
		issuer = m.issuerName
	}
	var der [][]byte
	for i, c := range []struct {
		name, issuer string
		key          any
		by           *rsa.PrivateKey
		extensions   []pkix.Extension
	}{
		{m.chipName, issuer, m.key.Public(), m.signedBy, m.extensions(t)},
		{m.askName, ark, drawn().intermediate.Public(), m.askSignedBy, nil},
		{ark, ark, m.rootKey.Public(), m.rootKey, nil},
	} {
		algorithm, given := m.algorithmOf[i]
		if !given {
			algorithm = x509.SHA384WithRSAPSS
		}
		until, given := m.until[i]
		if !given {
			until = today.AddDate(20, 0, 0)
		}
		certificate := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: amdName(c.name), NotBefore: today.AddDate(-1, 0, 0), NotAfter: until,
			SignatureAlgorithm: algorithm, IsCA: i > 0, BasicConstraintsValid: i > 0, ExtraExtensions: c.extensions}
		parent := &x509.Certificate{Subject: amdName(c.issuer)}
		encoded, err := x509.CreateCertificate(rand.Reader, certificate, parent, c.key, c.by)
		if err != nil {
			t.Fatal(err)
		}
		der = append(der, encoded)
	}
	return der
}

func (m *machine) extensions(t testing.TB) []pkix.Extension {
	t.Helper()
	encode := func(value any, params string) []byte {
		encoded, err := asn1.MarshalWithParams(value, params)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	under := func(arc ...int) asn1.ObjectIdentifier {
		return append(append(asn1.ObjectIdentifier{}, arcAMD...), arc...)
	}
	product, err := productOf(m.family, m.model)
	if err != nil {
		product = "Milan"
	}
	made := []pkix.Extension{{Id: under(1), Value: encode(0, "")}, {Id: under(2), Value: encode(m.productName, "ia5")}}
	for arc := 4; arc <= 7; arc++ { // parts of a TCB that no product has a use for
		made = append(made, pkix.Extension{Id: under(3, arc), Value: encode(0, "")})
	}
	for _, p := range layouts[product] {
		made = append(made, pkix.Extension{Id: under(3, p.arc), Value: encode(int(m.certified[p.offset]), "")})
	}
	if m.hardwareID != nil {
		made = append(made, pkix.Extension{Id: under(4), Value: m.hardwareID})
	}
	return made
}

// roots are the tests' maker in the place of AMD.
func roots(t testing.TB) Roots {
	t.Helper()
	key, err := x509.MarshalPKIXPublicKey(drawn().root.Public())
	if err != nil {
		t.Fatal(err)
	}
	digest := keyDigest(&x509.Certificate{RawSubjectPublicKeyInfo: key})
	return Roots{"Milan": {digest}, "Genoa": {digest}, "Turin": {digest}}
}

func clone(e *bastionlabv1.Evidence) *bastionlabv1.Evidence {
	return proto.Clone(e).(*bastionlabv1.Evidence)
}
