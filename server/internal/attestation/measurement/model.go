package measurement

import (
	"maps"
	"slices"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// models are the processors by QEMU's names (`-cpu`), without the version: no version changes the signature.
var models = map[string]uint32{
	"EPYC":       signature(0x17, 0x01, 2),
	"EPYC-IBPB":  signature(0x17, 0x01, 2),
	"EPYC-Rome":  signature(0x17, 0x31, 0),
	"EPYC-Milan": signature(0x19, 0x01, 1),
	"EPYC-Genoa": signature(0x19, 0x11, 0),
	"EPYC-Turin": signature(0x1A, 0x00, 0),
}

// signature is how CPUID function 1 packs family, model and stepping into EAX ("CPUID Specification", 25481).
func signature(family, model, stepping uint32) uint32 {
	base, extended := family, uint32(0)
	if family > 0xF {
		base, extended = 0xF, family-0xF
	}
	return extended<<20 | model>>4<<16 | base<<8 | model&0xF<<4 | stepping
}

// Models are the names that SignatureOf knows.
func Models() []string { return slices.Sorted(maps.Keys(models)) }

// SignatureOf is the signature of a processor by QEMU's name for it, such as EPYC-Milan or EPYC-Milan-v2.
func SignatureOf(name string) (uint32, error) {
	base, version, cut := cutVersion(name)
	if found, ok := models[base]; ok && (!cut || version) {
		return found, nil
	}
	return 0, refusal.New(refusal.InvalidArgument, "give the EAX of CPUID function 1 as the guest sees it, with --vcpu-signature",
		"the signature of the processor %.40q is not known; known are %s", name, strings.Join(Models(), ", "))
}

// cutVersion takes a -v1 off a name.
func cutVersion(name string) (base string, version, cut bool) {
	at := strings.LastIndex(name, "-v")
	if at < 0 {
		return name, false, false
	}
	digits := name[at+2:]
	version = digits != "" && len(digits) < 3 && strings.Trim(digits, "0123456789") == "" && digits[0] != '0'
	return name[:at], version, true
}
