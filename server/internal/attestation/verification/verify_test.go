package verification

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func repeated(b byte, n int) string { return hex.EncodeToString(filled(n, b)) }

// written is a policy that takes the tests' machines, with some fields put otherwise; a field put to nil is left out.
func written(t testing.TB, put map[string]any) []byte {
	t.Helper()
	fields := map[string]any{
		"platforms": []string{"sev-snp"}, "measurements": []string{repeated(0xAB, 48)}, "chip_ids": []string{repeated(0xC1, 64), repeated(0x77, 8) + repeated(0, 56)},
		"tcb": map[string]any{"Milan": map[string]int{"bl": 3, "tee": 0, "snp": 24, "ucode": 219}, "Genoa/a0": map[string]int{"bl": 3, "tee": 0, "snp": 24, "ucode": 219},
			"Turin": map[string]int{"fmc": 1, "bl": 2, "tee": 0, "snp": 4, "ucode": 77}},
		"config_digests": []string{repeated(0xC0, 48)}, "storage_levels": []string{"memory"}, "allow": []string{"smt"},
	}
	maps.Copy(fields, put)
	maps.DeleteFunc(fields, func(_ string, value any) bool { return value == nil })
	encoded, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

type null struct{}

// MarshalJSON writes what is meant to stand there as null.
func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func policy(t testing.TB, put map[string]any) Policy {
	t.Helper()
	p, err := ParsePolicy(written(t, put))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refusedUnder fails the test unless err is a refusal under the check, with all that a refusal says.
func refusedUnder(t *testing.T, err error, check string) {
	t.Helper()
	var refused *refusal.Error
	if !errors.As(err, &refused) {
		t.Fatalf("not refused under %q: %v", check, err)
	}
	if refused.Kind != refusal.Attestation || refused.Check == nil || refused.Check.Name != check {
		t.Fatalf("refused otherwise than under %q: %v", check, err)
	}
	if refused.Check.Expected == "" || refused.Check.Seen == "" || refused.Next == "" || !strings.Contains(refused.What, check) {
		t.Errorf("a refusal that says too little: %+v, %+v", refused, refused.Check)
	}
}

func names(passed []CheckPassed) []string {
	var names []string
	for _, check := range passed {
		names = append(names, check.Name)
	}
	return names
}

var snpChecks = []string{
	"format", "signer", "product", "chain", "signature", "vcek", "tcb", "measurement", "debug", "migrate", "policy_bits", "platform", "abi", "vmpl",
	"guest_svn", "chip_id", "id_key_digest", "author_key_digest", "host_data", "binding", "config", "version", "storage", "development",
}

func TestWhatIsTaken(t *testing.T) {
	t.Run("a Milan", func(t *testing.T) {
		m := milan()
		got, err := Verify(m.evidence(t), m.nonce[:], m.channel, policy(t, nil), today, roots(t))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(names(got.Checks), snpChecks) {
			t.Errorf("checks %v", names(got.Checks))
		}
		if got.Measurement != repeated(0xAB, 48) || got.ChipID != repeated(0xC1, 64) || got.Platform != "sev-snp" || got.Claims.GetBootId() != "boot" {
			t.Errorf("%+v", got)
		}
	})
	for name, test := range map[string]struct {
		change func(*machine)
		put    map[string]any
	}{
		"of Turin's layout":             {func(m *machine) { *m = *turin() }, nil},
		"a Siena, of Genoa's line":      {func(m *machine) { m.family, m.model = 0x19, 0xA0 }, nil},
		"a report that names no CPU":    {func(m *machine) { m.version, m.family, m.model = 2, 0, 0 }, map[string]any{"report_versions": []int{2}}},
		"the last of two chips":         {func(m *machine) {}, map[string]any{"chip_ids": []string{repeated(1, 64), repeated(0xC1, 64)}}},
		"any chip":                      {func(m *machine) {}, map[string]any{"chip_ids": null{}}},
		"a chip that the host hides":    {func(m *machine) { m.chip = [64]byte{} }, map[string]any{"chip_ids": null{}}},
		"bits that only bind the host":  {func(m *machine) { m.policy |= 1<<20 | 1<<22 | 1<<23 | 1<<24 | 1<<25 }, nil},
		"a bit that is asked for":       {func(m *machine) { m.policy |= 1 << 24 }, map[string]any{"require_policy": []string{"ciphertext_hiding"}}},
		"a platform as is asked for":    {func(m *machine) {}, map[string]any{"require_platform": []string{"alias_check_complete"}}},
		"a provider's key":              {func(m *machine) { m.signer, m.chipName, m.hardwareID = 1<<2, "SEV-VLEK", nil }, map[string]any{"signing_keys": []string{"VCEK", "VLEK"}}},
		"all that can be pinned":        {func(m *machine) {}, map[string]any{"id_key_digests": []string{repeated(0x1D, 48)}, "author_key_digests": []string{repeated(0xA0, 48)}, "host_data": []string{repeated(0xDA, 32)}}},
		"as new as is asked for":        {func(m *machine) { m.vmpl = 1 }, map[string]any{"vmpl": 1, "min_guest_svn": 4, "min_abi": []int{1, 55}, "min_version": "1.2.0"}},
		"a later firmware interface":    {func(m *machine) { m.policy += 0x0100 }, map[string]any{"min_abi": []int{1, 99}}},
		"bound to the key":              {func(m *machine) { m.binding, m.channel.Binding, m.channel.Exporter = 1, 1, [32]byte{} }, map[string]any{"binding": "key"}},
		"one of two callers":            {func(m *machine) { m.sibling = filled(32, 5) }, nil},
		"any configuration":             {func(m *machine) { m.claims.ConfigDigest = filled(48, 9) }, map[string]any{"config_digests": null{}}},
		"development where it may be":   {func(m *machine) { m.claims.Development = true }, map[string]any{"development": true}},
		"simulated where it may be":     {func(m *machine) { m.format = attestation.FormatSimulated }, map[string]any{"platforms": []string{"simulated"}}},
		"simulated, without a floor":    {func(m *machine) { m.format = attestation.FormatSimulated }, map[string]any{"platforms": []string{"simulated"}, "tcb": nil, "measurements": null{}}},
		"simulated, its root listed":    {func(m *machine) { m.format = attestation.FormatSimulated }, map[string]any{"platforms": []string{"simulated"}, "roots": roots(t)["Milan"]}},
		"the last day of a certificate": {func(m *machine) { m.until[0] = today }, nil},
		"newer than the floor":          {func(m *machine) {}, map[string]any{"tcb": map[string]any{"Milan": map[string]int{"bl": 0, "tee": 0, "snp": 0, "ucode": 0}}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := milan()
			test.change(m)
			if _, err := Verify(m.evidence(t), m.nonce[:], m.channel, policy(t, test.put), today, roots(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		check  string
		change func(*machine)
		put    map[string]any
	}{
		"another measurement":                {"measurement", func(m *machine) { m.measurement[47]++ }, nil},
		"a guest that the host debugs":       {"debug", func(m *machine) { m.policy |= 1 << 19 }, nil},
		"a guest that may be moved":          {"migrate", func(m *machine) { m.policy |= 1 << 18 }, nil},
		"SMT, which is not allowed":          {"policy_bits", func(m *machine) {}, map[string]any{"allow": []string{}}},
		"CXL, which is not allowed":          {"policy_bits", func(m *machine) { m.policy |= 1 << 21 }, nil},
		"a bit that is asked for":            {"policy_bits", func(m *machine) {}, map[string]any{"require_policy": []string{"single_socket"}}},
		"a platform's bit":                   {"platform", func(m *machine) {}, map[string]any{"require_platform": []string{"tsme"}}},
		"an old firmware interface":          {"abi", func(m *machine) {}, map[string]any{"min_abi": []int{1, 56}}},
		"an old interface by the major":      {"abi", func(m *machine) {}, map[string]any{"min_abi": []int{2, 0}}},
		"another privilege level":            {"vmpl", func(m *machine) { m.vmpl = 1 }, nil},
		"an old guest":                       {"guest_svn", func(m *machine) {}, map[string]any{"min_guest_svn": 5}},
		"an unknown chip":                    {"chip_id", func(m *machine) {}, map[string]any{"chip_ids": []string{repeated(1, 64)}}},
		"no chip is known":                   {"chip_id", func(m *machine) {}, map[string]any{"chip_ids": []string{}}},
		"a hidden chip, chips being known":   {"chip_id", func(m *machine) { m.chip = [64]byte{} }, nil},
		"another identity key":               {"id_key_digest", func(m *machine) {}, map[string]any{"id_key_digests": []string{repeated(1, 48)}}},
		"another author's key":               {"author_key_digest", func(m *machine) {}, map[string]any{"author_key_digests": []string{repeated(1, 48)}}},
		"other data of the host":             {"host_data", func(m *machine) {}, map[string]any{"host_data": []string{repeated(1, 32)}}},
		"an old version in what is reported": {"tcb", func(m *machine) { m.reported[6], m.certified[6] = 23, 23 }, nil},
		"a version that can be rolled back":  {"tcb", func(m *machine) { m.committed[7] = 218 }, nil},
		"an old version at launch":           {"tcb", func(m *machine) { m.launch[0] = 2 }, nil},
		"a CPU without a floor":              {"tcb", func(m *machine) { m.model = 0x11 }, nil},
		"a Siena has no Genoa's floor":       {"tcb", func(m *machine) { m.model = 0xA0 }, map[string]any{"tcb": map[string]any{"Genoa": map[string]int{"bl": 0, "tee": 0, "snp": 0, "ucode": 0}}}},
		"Turin's first controller":           {"tcb", func(m *machine) { *m = *turin(); m.reported[0], m.certified[0] = 0, 0 }, nil},
		"a certificate of another version":   {"vcek", func(m *machine) { m.certified[7]-- }, nil},
		"a certificate of another chip":      {"vcek", func(m *machine) { m.hardwareID = filled(64, 0xC2) }, nil},
		"a certificate of no chip":           {"vcek", func(m *machine) { m.hardwareID = nil }, nil},
		"an identifier of another length":    {"vcek", func(m *machine) { m.hardwareID = filled(65, 0xC1) }, nil},
		"Turin's chip with more behind":      {"vcek", func(m *machine) { *m = *turin(); m.chip[8] = 1 }, nil},
		"Turin's chip elsewhere":             {"vcek", func(m *machine) { *m = *turin(); m.chip = [64]byte{}; copy(m.chip[56:], filled(8, 0x77)) }, nil},
		"a signature of another key":         {"signature", func(m *machine) { m.spoil = func(r []byte) { r[0x2A0]++ } }, nil},
		"a report that was changed":          {"signature", func(m *machine) { m.spoil = func(r []byte) { r[0x90]++ } }, nil},
		"a signature of zeros":               {"signature", func(m *machine) { m.spoil = func(r []byte) { clear(r[0x2A0 : 0x2A0+144]) } }, nil},
		"a key on another curve":             {"signature", func(m *machine) { m.key = drawn().small }, nil},
		"the root is another":                {"chain", func(m *machine) { m.rootKey, m.askSignedBy = drawn().other, drawn().other }, nil},
		"the intermediate signs itself":      {"chain", func(m *machine) { m.askSignedBy = drawn().intermediate }, nil},
		"the chip's by another key":          {"chain", func(m *machine) { m.signedBy = drawn().other }, nil},
		"the chip's by the root":             {"chain", func(m *machine) { m.signedBy, m.issuerName = drawn().root, ark }, nil},
		"the chip's names another issuer":    {"chain", func(m *machine) { m.issuerName = "SEV-Genoa" }, nil},
		"PKCS #1 v1.5":                       {"chain", func(m *machine) { m.algorithmOf[0] = x509.SHA384WithRSA }, nil},
		"PSS with SHA-256":                   {"chain", func(m *machine) { m.algorithmOf[1] = x509.SHA256WithRSAPSS }, nil},
		"an expired certificate":             {"chain", func(m *machine) { m.until[0] = today.Add(-time.Second) }, nil},
		"an expired intermediate":            {"chain", func(m *machine) { m.until[1] = today.Add(-time.Second) }, nil},
		"a key of another role":              {"chain", func(m *machine) { m.chipName = "SEV-VLEK" }, nil},
		"two certificates":                   {"chain", func(m *machine) { m.endorsements = func(c [][]byte) [][]byte { return c[:2] } }, nil},
		"four certificates":                  {"chain", func(m *machine) { m.endorsements = func(c [][]byte) [][]byte { return append(c, c[2]) } }, nil},
		"no certificate":                     {"chain", func(m *machine) { m.endorsements = func([][]byte) [][]byte { return nil } }, nil},
		"no DER":                             {"format", func(m *machine) { m.endorsements = func(c [][]byte) [][]byte { c[1] = []byte("x"); return c } }, nil},
		"something behind a certificate":     {"format", func(m *machine) { m.endorsements = func(c [][]byte) [][]byte { c[0] = append(c[0], 0); return c } }, nil},
		"an unknown CPU":                     {"product", func(m *machine) { m.model = 0x50 }, nil},
		"an unknown family":                  {"product", func(m *machine) { m.family = 0x1B }, nil},
		"an unknown product":                 {"product", func(m *machine) { m.version, m.productName = 2, "Naples-B1" }, map[string]any{"report_versions": []int{2}}},
		"a provider's key, unasked":          {"signer", func(m *machine) { m.signer, m.chipName = 1<<2, "SEV-VLEK" }, nil},
		"signed by nothing":                  {"signer", func(m *machine) { m.signer = 7 << 2 }, nil},
		"another algorithm":                  {"format", func(m *machine) { m.algorithm = 2 }, nil},
		"a certificate that is long":         {"format", func(m *machine) { m.productName = strings.Repeat("M", maxCertificateBytes) }, nil},
		"claims that cannot be read":         {"format", func(m *machine) { m.rawClaims = []byte{0xFF} }, nil},
		"an old report":                      {"format", func(m *machine) { m.version = 2 }, nil},
		"a policy bit of tomorrow":           {"format", func(m *machine) { m.policy |= 1 << 26 }, nil},
		"a policy without its one":           {"format", func(m *machine) { m.policy &^= 1 << 17 }, nil},
		"reserved bytes of the signer":       {"format", func(m *machine) { m.signer = 1 << 5 }, nil},
		"reserved bytes after it":            {"format", func(m *machine) { m.edit = func(r []byte) { r[0x4C] = 1 } }, nil},
		"reserved bytes at the end":          {"format", func(m *machine) { m.spoil = func(r []byte) { r[0x49F] = 1 } }, nil},
		"a format that nobody has":           {"format", func(m *machine) { m.format = "sgx" }, nil},
		"evidence of another platform":       {"policy", func(m *machine) {}, map[string]any{"platforms": []string{"simulated"}}},
		"simulated evidence":                 {"simulated", func(m *machine) { m.format = attestation.FormatSimulated }, nil},
		"another simulator":                  {"chain", func(m *machine) { m.format = attestation.FormatSimulated }, map[string]any{"platforms": []string{"simulated"}, "roots": []string{repeated(1, 32)}}},
		"a simulator's measurement":          {"measurement", func(m *machine) { m.format = attestation.FormatSimulated; m.measurement[0]++ }, map[string]any{"platforms": []string{"simulated"}}},
		"a simulator below a floor":          {"tcb", func(m *machine) { m.format = attestation.FormatSimulated; m.launch[0] = 2 }, map[string]any{"platforms": []string{"simulated"}}},
		"a policy that wants the exporter":   {"binding", func(m *machine) { m.binding, m.channel.Binding, m.channel.Exporter = 1, 1, [32]byte{} }, map[string]any{"binding": "exporter"}},
		"evidence that says it is the key's": {"binding", func(m *machine) { m.binding = 1 }, nil},
		"bound to nothing":                   {"binding", func(m *machine) { m.binding, m.channel.Binding = 0, 0 }, nil},
		"another configuration":              {"config", func(m *machine) { m.claims.ConfigDigest = filled(48, 1) }, nil},
		"an old server":                      {"version", func(m *machine) { m.claims.Version = "1.10.0" }, map[string]any{"min_version": "1.11.0"}},
		"a version of another form":          {"version", func(m *machine) { m.claims.Version = "2" }, map[string]any{"min_version": "1.0.0"}},
		"a key on the disk":                  {"storage", func(m *machine) { m.claims.StorageLevel = "file" }, nil},
		"development mode":                   {"development", func(m *machine) { m.claims.Development = true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := milan()
			test.change(m)
			got, err := Verify(m.evidence(t), m.nonce[:], m.channel, policy(t, test.put), today, roots(t))
			refusedUnder(t, err, test.check)
			if got.Claims != nil || got.Measurement != "" {
				t.Errorf("refused evidence told %+v", got)
			}
			if slices.Contains(names(got.Checks), test.check) && test.check != "format" { // certificates and claims have one too
				t.Errorf("the check that failed is among those that passed: %v", got.Checks)
			}
		})
	}
}

// What evidence is bound to cannot be put otherwise by who relays it.
func TestEvidenceForSomebodyElse(t *testing.T) {
	m := milan()
	genuine := m.evidence(t)
	for name, test := range map[string]func(e *bastionlabv1.Evidence, nonce *[]byte, channel *attestation.Channel){
		"another nonce":      func(_ *bastionlabv1.Evidence, nonce *[]byte, _ *attestation.Channel) { *nonce = filled(32, 1) },
		"a short nonce":      func(_ *bastionlabv1.Evidence, nonce *[]byte, _ *attestation.Channel) { *nonce = (*nonce)[:31] },
		"another key":        func(_ *bastionlabv1.Evidence, _ *[]byte, c *attestation.Channel) { c.PublicKey = []byte("middleman") },
		"another connection": func(_ *bastionlabv1.Evidence, _ *[]byte, c *attestation.Channel) { c.Exporter[0]++ },
		"other claims": func(e *bastionlabv1.Evidence, _ *[]byte, _ *attestation.Channel) {
			e.Claims = append(e.Claims, 0x30, 0)
		},
		"a tree of nobody":    func(e *bastionlabv1.Evidence, _ *[]byte, _ *attestation.Channel) { e.TreeSize = 0 },
		"a leaf elsewhere":    func(e *bastionlabv1.Evidence, _ *[]byte, _ *attestation.Channel) { e.LeafIndex = 1 },
		"a path that is long": func(e *bastionlabv1.Evidence, _ *[]byte, _ *attestation.Channel) { e.Path = [][]byte{filled(32, 1)} },
		"a short report":      func(e *bastionlabv1.Evidence, _ *[]byte, _ *attestation.Channel) { e.Report = e.Report[:1183] },
		"another caller's": func(e *bastionlabv1.Evidence, _ *[]byte, _ *attestation.Channel) {
			e.TreeSize, e.Path = 2, [][]byte{filled(32, 1)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			evidence, nonce, channel := clone(genuine), slices.Clone(m.nonce[:]), m.channel
			test(evidence, &nonce, &channel)
			_, err := Verify(evidence, nonce, channel, policy(t, nil), today, roots(t))
			check := "binding"
			if name == "a short report" {
				check = "format"
			}
			refusedUnder(t, err, check)
		})
	}
	if _, err := Verify(nil, m.nonce[:], m.channel, policy(t, nil), today, roots(t)); err == nil {
		t.Error("no evidence is evidence")
	} else {
		refusedUnder(t, err, "evidence")
	}
	if _, err := Verify(genuine, m.nonce[:], m.channel, Policy{}, today, roots(t)); err == nil {
		t.Error("a policy of nothing takes something")
	}
	floorless := policy(t, nil)
	floorless.TCB = nil // which none that was read is
	_, err := Verify(genuine, m.nonce[:], m.channel, floorless, today, roots(t))
	refusedUnder(t, err, "tcb")
}
