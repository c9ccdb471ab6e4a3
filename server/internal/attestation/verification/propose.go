package verification

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// proposal is a policy as it is written. null is any, but nothing here is left open that the evidence has a value for.
type proposal struct {
	Platforms      []string         `json:"platforms"`
	Measurements   []string         `json:"measurements"`
	TCB            map[string]Floor `json:"tcb,omitempty"`
	ChipIDs        []string         `json:"chip_ids"`
	ConfigDigests  []string         `json:"config_digests"`
	StorageLevels  []string         `json:"storage_levels"`
	SigningKeys    []string         `json:"signing_keys,omitempty"`
	VMPL           uint32           `json:"vmpl,omitempty"`
	Allow          []string         `json:"allow,omitempty"`
	ReportVersions []uint32         `json:"report_versions,omitempty"`
	Development    bool             `json:"development,omitempty"`
	Roots          []string         `json:"roots,omitempty"`
	TDX            *tdxProposal     `json:"tdx,omitempty"`
}

type tdxProposal struct {
	MRTD   []string            `json:"mr_td"`
	MRSeam []string            `json:"mr_seam"`
	RTMRs  map[string][]string `json:"rtmrs"`
}

// Propose writes the policy that takes what this evidence says, and nothing else. It verifies nothing, and whoever adopts it unread has pinned
// whatever the other side liked to say. It is how the command line shows what a policy would have to pin.
func Propose(evidence *bastionlabv1.Evidence) ([]byte, error) {
	claims := &bastionlabv1.Claims{}
	if err := proto.Unmarshal(evidence.GetClaims(), claims); err != nil {
		return nil, refuse("format", "claims that can be read", "%d bytes that cannot", len(evidence.GetClaims()))
	}
	if length := len(claims.GetConfigDigest()); length != sha512.Size384 {
		return nil, refuse("config", "a SHA-384", "%d bytes", length)
	}
	if level := claims.GetStorageLevel(); !slices.Contains(storageLevels, level) {
		return nil, refuse("storage", "one of "+list(storageLevels), "%.40q", level)
	}
	p := proposal{
		Platforms: []string{evidence.GetFormat()}, ConfigDigests: []string{hex.EncodeToString(claims.GetConfigDigest())},
		StorageLevels: []string{claims.GetStorageLevel()}, Development: claims.GetDevelopment(),
	}
	var err error
	switch evidence.GetFormat() {
	case attestation.FormatSNP, attestation.FormatSimulated:
		err = p.snp(evidence)
	case attestation.FormatTDX:
		err = p.tdx(evidence.GetReport())
	default:
		err = refuse("format", "one of "+list(platforms), "%.40q", evidence.GetFormat())
	}
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(p, "", "  ")
}

func (p *proposal) snp(evidence *bastionlabv1.Evidence) (err error) {
	v := &verifier{format: evidence.GetFormat(), policy: Policy{ReportVersions: reportVersions, SigningKeys: signingKeys}}
	s := &snp{verifier: v}
	if err := s.form(evidence.GetReport()); err != nil {
		return err
	}
	if err := s.signer(); err != nil {
		return err
	}
	if s.chain, err = parseChain(evidence.GetEndorsements()); err != nil {
		return err
	}
	if s.product, err = s.productOfReport(); err != nil {
		return err
	}
	r := s.report
	floor := Floor{}
	for _, part := range layouts[s.product] {
		floor[part.name] = min(r.reportedTCB()[part.offset], r.committedTCB()[part.offset], r.launchTCB()[part.offset])
	}
	p.TCB = map[string]Floor{floorKey(s.product, r): floor}
	p.Measurements, p.SigningKeys, p.VMPL, p.ReportVersions = []string{r.measurement()}, []string{r.signingKey()}, r.vmpl(), []uint32{r.version()}
	if id := r.chipID(); slices.ContainsFunc(id, func(b byte) bool { return b != 0 }) {
		p.ChipIDs = []string{hex.EncodeToString(id)}
	}
	for _, bit := range permissive {
		if r.has(bit) {
			p.Allow = append(p.Allow, bit)
		}
	}
	if s.format == attestation.FormatSimulated {
		p.Roots = []string{keyDigest(s.chain.root)}
	}
	return nil
}

func (p *proposal) tdx(raw []byte) error {
	q, err := parseQuote(raw)
	if err != nil {
		return err
	}
	p.Measurements = []string{}
	p.TDX = &tdxProposal{MRTD: []string{q.measurement()}, MRSeam: []string{q.moduleMeasurement()}, RTMRs: map[string][]string{}}
	for i := range 4 {
		p.TDX.RTMRs[fmt.Sprint(i)] = []string{q.register(i)}
	}
	return nil
}
