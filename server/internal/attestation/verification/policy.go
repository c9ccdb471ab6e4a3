package verification

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// Policy is what a caller accepts. Its zero value accepts nothing; ParsePolicy makes others.
type Policy struct {
	Platforms     []string
	Measurements  Allowed
	TCB           map[string]Floor // by product or product/model
	ChipIDs       Allowed
	ConfigDigests Allowed
	StorageLevels []string

	Binding          bastionlabv1.Binding // unspecified: that of the caller's platform, which is the caller's to know
	SigningKeys      []string
	VMPL             uint32
	MinGuestSVN      uint32
	MinABI           [2]byte
	Allow            []string // guest policy bits that may be set
	RequirePolicy    []string // guest policy bits that must be
	RequirePlatform  []string // bits of the platform that must be
	ReportVersions   []uint32
	IDKeyDigests     Allowed
	AuthorKeyDigests Allowed
	HostData         Allowed
	Development      bool // a server in development mode is taken
	Roots            Allowed
	MinVersion       string
	TDX              TDXPolicy
}

// Floor is the least that each part of a TCB may be, by the part's name.
type Floor map[string]byte

// TDXPolicy is what is accepted of an Intel TDX guest.
type TDXPolicy struct {
	MRTD       Allowed
	MRSeam     Allowed
	RTMRs      [4]Allowed
	Statuses   []string
	Advisories []string
}

// The bits of a guest's policy that this package knows. What is above them, and bit 17 unset, is refused.
var policyBits = map[string]int{
	"smt": 16, bitMigrate: 18, bitDebug: 19, "single_socket": 20, "cxl": 21, "mem_aes_256_xts": 22, "rapl_dis": 23, "ciphertext_hiding": 24,
	"page_swap_disable": 25,
}

// A policy cannot name these two: a guest that the host may read or move proves nothing.
const (
	bitDebug   = "debug"
	bitMigrate = "migrate_ma"
)

// permissive are the bits that give the host something and are harmless enough to allow. All others but debug and migrate_ma restrict the host.
var permissive = []string{"cxl", "smt"}

var platformBits = map[string]int{"smt": 0, "tsme": 1, "ecc": 2, "rapl_dis": 3, "ciphertext_hiding": 4, "alias_check_complete": 5, "tio": 7}

var (
	platforms      = []string{attestation.FormatSNP, attestation.FormatTDX, attestation.FormatSimulated}
	storageLevels  = []string{"file", "memory"}
	signingKeys    = []string{"VCEK", "VLEK"}
	reportVersions = []uint32{2, 3, 4, 5}
)

// restrictive are the bits that bind the host.
func restrictive() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(policyBits)), func(name string) bool {
		return name == bitDebug || name == bitMigrate || slices.Contains(permissive, name)
	})
}

// maxPolicyBytes bounds a policy: thousands of chips.
const maxPolicyBytes = 1 << 20

// ParsePolicy reads a policy. A field that it does not know, a field that is wrong or missing, and anything after the document is refused under the
// check "policy", by the field's name: a policy that means less than its author thought is worse than none.
func ParsePolicy(document []byte) (Policy, error) {
	if len(document) > maxPolicyBytes {
		return Policy{}, refuse("policy", "at most 1 MiB", "%d bytes", len(document))
	}
	object, err := strictObject(document)
	if err != nil {
		return Policy{}, refuse("policy", "a JSON object", "%s", err)
	}
	f := &fields{members: object, failure: new(error)}
	p := required(f)
	optional(f, &p)
	p.TDX = tdxPolicy(f.object("tdx", slices.Contains(p.Platforms, attestation.FormatTDX)))
	f.end()
	if *f.failure != nil {
		return Policy{}, *f.failure
	}
	return p, nil
}

func required(f *fields) Policy {
	p := Policy{Platforms: f.names("platforms", platforms, nil), StorageLevels: f.names("storage_levels", storageLevels, nil)}
	f.some("platforms", len(p.Platforms))
	f.some("storage_levels", len(p.StorageLevels))
	p.Measurements = f.allowed("measurements", 96, true)
	hardware := slices.Contains(p.Platforms, attestation.FormatSNP)
	f.check("measurements", !hardware || len(p.Measurements.values) > 0, "at least one, for sev-snp")
	p.ChipIDs = f.allowed("chip_ids", 128, true)
	p.ConfigDigests = f.allowed("config_digests", 96, true)
	p.TCB = floors(f.object("tcb", hardware))
	f.check("tcb", !hardware || len(p.TCB) > 0, "at least one floor, for sev-snp")
	return p
}

func optional(f *fields, p *Policy) {
	p.Binding = map[string]bastionlabv1.Binding{
		"": bastionlabv1.Binding_BINDING_UNSPECIFIED, "key": bastionlabv1.Binding_BINDING_KEY, "exporter": bastionlabv1.Binding_BINDING_EXPORTER,
	}[f.name("binding", []string{"exporter", "key"})]
	p.SigningKeys = f.names("signing_keys", signingKeys, []string{"VCEK"})
	f.some("signing_keys", len(p.SigningKeys))
	p.VMPL = uint32(f.number("vmpl", 3))
	p.MinGuestSVN = uint32(f.number("min_guest_svn", 1<<32-1))
	if pair := f.numbers("min_abi", 255, []uint32{0, 0}); len(pair) == 2 {
		p.MinABI = [2]byte{byte(pair[0]), byte(pair[1])}
	} else {
		f.check("min_abi", false, "two numbers")
	}
	p.Allow = f.names("allow", permissive, []string{})
	p.RequirePolicy = f.names("require_policy", restrictive(), []string{})
	p.RequirePlatform = f.names("require_platform", slices.Sorted(maps.Keys(platformBits)), []string{})
	p.ReportVersions = f.numbers("report_versions", 1<<32-1, []uint32{3, 4, 5})
	f.some("report_versions", len(p.ReportVersions))
	unread := slices.ContainsFunc(p.ReportVersions, func(v uint32) bool { return !slices.Contains(reportVersions, v) })
	f.check("report_versions", !unread, "2, 3, 4 or 5")
	p.IDKeyDigests = f.allowed("id_key_digests", 96, false)
	p.AuthorKeyDigests = f.allowed("author_key_digests", 96, false)
	p.HostData = f.allowed("host_data", 64, false)
	p.Development = f.boolean("development")
	p.Roots = f.allowed("roots", 64, false)
	f.check("roots", p.Roots.any || slices.Contains(p.Platforms, attestation.FormatSimulated), "none without simulated: the roots of hardware are fixed")
	p.MinVersion = f.text("min_version")
	f.check("min_version", p.MinVersion == "" || leastVersion.MatchString(p.MinVersion), "three numbers, as in 1.0.0")
}

// floors are complete or refused: a part that is left out would be a part without a floor.
func floors(f *fields) map[string]Floor {
	if f == nil {
		return nil
	}
	all := map[string]Floor{}
	for _, kind := range slices.Sorted(maps.Keys(f.members)) {
		product, model, isModel := strings.Cut(kind, "/")
		layout, known := layouts[product]
		f.check(kind, known && (!isModel || isHex(model, 2)), "Milan, Genoa or Turin, or one of them with a model as in Genoa/a0")
		parts := f.object(kind, true)
		floor := Floor{}
		for _, part := range layout {
			parts.require(part.name)
			floor[part.name] = byte(parts.number(part.name, 255))
		}
		parts.end()
		all[kind] = floor
	}
	return all
}

func tdxPolicy(f *fields) TDXPolicy {
	if f == nil {
		return TDXPolicy{}
	}
	p := TDXPolicy{MRTD: f.allowed("mr_td", 96, true), MRSeam: f.allowed("mr_seam", 96, true)}
	f.some("mr_td", len(p.MRTD.values))
	registers := f.object("rtmrs", true)
	for i := range p.RTMRs {
		p.RTMRs[i] = registers.register(strconv.Itoa(i))
	}
	registers.end()
	if p.Statuses = []string{"UpToDate"}; f.has("statuses") {
		p.Statuses = f.texts("statuses")
	}
	f.some("statuses", len(p.Statuses))
	p.Advisories = f.texts("advisories")
	f.end()
	return p
}
