package verification

import (
	"fmt"
	"maps"
	"slices"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// ChipWarning is said wherever a policy with chip_ids null is used.
const ChipWarning = "chip_ids is null: any chip of the maker will do, so one whose keys were stolen speaks for every machine; " +
	"list your chips if you know them"

// Explain says in sentences what a policy accepts, and warns of what it leaves open.
func (p Policy) Explain() []string {
	lines := []string{"evidence is taken from " + list(p.Platforms)}
	say := func(name string, a Allowed) {
		if a.any {
			lines = append(lines, name+": any")
			return
		}
		lines = append(lines, fmt.Sprintf("%s: one of %d", name, len(a.values)))
	}
	say("measurement", p.Measurements)
	for _, kind := range slices.Sorted(maps.Keys(p.TCB)) {
		lines = append(lines, fmt.Sprintf("TCB of %s: at least %s", kind, p.TCB[kind]))
	}
	say("configuration", p.ConfigDigests)
	lines = append(lines, "the server's key may lie in "+list(p.StorageLevels))
	switch p.Binding {
	case bastionlabv1.Binding_BINDING_EXPORTER:
		lines = append(lines, "the evidence is bound to the connection")
	case bastionlabv1.Binding_BINDING_KEY:
		lines = append(lines, "the evidence is bound to the server's TLS key: who steals that key can relay")
	}
	for _, warning := range p.Warnings() {
		lines = append(lines, "warning: "+warning)
	}
	return lines
}

// Warnings are what a policy leaves open that a reader may not expect.
func (p Policy) Warnings() []string {
	lines := []string{}
	warn := func(when bool, text string) {
		if when {
			lines = append(lines, text)
		}
	}
	has := func(platform string) bool { return slices.Contains(p.Platforms, platform) }
	warn(p.ChipIDs.any, ChipWarning)
	warn(p.ConfigDigests.any, "config_digests is null: the server may run with any settings")
	warn(p.Development, "development is true: a server that takes every key is accepted")
	warn(has(attestation.FormatSimulated), "simulated evidence is taken: it proves nothing about hardware")
	for i, register := range p.TDX.RTMRs {
		warn(has(attestation.FormatTDX) && register.any, fmt.Sprintf("rtmrs has no %d: what is measured there may be anything", i))
	}
	return lines
}

// String names the parts in the alphabet's order.
func (f Floor) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, f[name]))
	}
	return list(parts)
}
