package verification

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// What runs in the guest, and how.

func (s *snp) measurement() error {
	return s.among("measurement", s.report.measurement(), s.policy.Measurements)
}

func (s *snp) among(check, seen string, allowed Allowed) error {
	if !allowed.Has(seen) {
		return refuse(check, allowed.expected(), "%s", seen)
	}
	s.pass(check, "%s", seen)
	return nil
}

// SECURITY: no policy can allow the next two.

func (s *snp) debug() error {
	if s.report.has(bitDebug) {
		return refuse("debug", "a guest whose memory the host cannot read", "the debug bit is set")
	}
	s.pass("debug", "off")
	return nil
}

func (s *snp) migrate() error {
	if s.report.has(bitMigrate) {
		return refuse("migrate", "a guest that no migration agent may move", "the migration bit is set")
	}
	s.pass("migrate", "off")
	return nil
}

func (s *snp) bits() error {
	var set []string
	for _, bit := range slices.Sorted(maps.Keys(policyBits)) {
		if !s.report.has(bit) {
			continue
		}
		set = append(set, bit)
		if slices.Contains(permissive, bit) && !slices.Contains(s.policy.Allow, bit) {
			return refuse("policy_bits", bit+" off, or allowed", "%s is set", bit)
		}
	}
	for _, bit := range s.policy.RequirePolicy {
		if !slices.Contains(set, bit) {
			return refuse("policy_bits", bit+" set", "it is off")
		}
	}
	s.pass("policy_bits", "%s", orNone(set))
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return list(names)
}

func (s *snp) platform() error {
	var set []string
	for _, bit := range slices.Sorted(maps.Keys(platformBits)) {
		if s.report.platform()>>platformBits[bit]&1 == 1 {
			set = append(set, bit)
		}
	}
	for _, bit := range s.policy.RequirePlatform {
		if !slices.Contains(set, bit) {
			return refuse("platform", bit+" set", "it is off")
		}
	}
	s.pass("platform", "%s", orNone(set))
	return nil
}

// abi is the oldest firmware interface that the guest's policy admits.
func (s *snp) abi() error {
	admits := [2]byte{byte(s.report.policy() >> 8), byte(s.report.policy())}
	least := s.policy.MinABI
	if admits[0] < least[0] || admits[0] == least[0] && admits[1] < least[1] {
		expected := fmt.Sprintf("a guest policy that admits no firmware interface before %d.%d", least[0], least[1])
		return refuse("abi", expected, "%d.%d", admits[0], admits[1])
	}
	s.pass("abi", "%d.%d", admits[0], admits[1])
	return nil
}

func (s *snp) level() error {
	if s.report.vmpl() != s.policy.VMPL {
		return refuse("vmpl", fmt.Sprint(s.policy.VMPL), "%d", s.report.vmpl())
	}
	s.pass("vmpl", "%d", s.report.vmpl())
	return nil
}

func (s *snp) guestSVN() error {
	if s.report.guestSVN() < s.policy.MinGuestSVN {
		return refuse("guest_svn", fmt.Sprintf("at least %d", s.policy.MinGuestSVN), "%d", s.report.guestSVN())
	}
	s.pass("guest_svn", "%d", s.report.guestSVN())
	return nil
}

// names are what else a policy may pin.
func (s *snp) names() error {
	for _, pinned := range []struct {
		check, seen string
		allowed     Allowed
	}{
		{"chip_id", hex.EncodeToString(s.report.chipID()), s.policy.ChipIDs},
		{"id_key_digest", s.report.idKey(), s.policy.IDKeyDigests},
		{"author_key_digest", s.report.authorKey(), s.policy.AuthorKeyDigests},
		{"host_data", s.report.hostData(), s.policy.HostData},
	} {
		if err := s.among(pinned.check, pinned.seen, pinned.allowed); err != nil {
			return err
		}
	}
	return nil
}
