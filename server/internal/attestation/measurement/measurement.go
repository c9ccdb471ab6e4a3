// Package measurement computes what the AMD secure processor will measure of a guest before it starts: the launch digest of SEV-SNP, for QEMU with
// the digests of kernel, initial file system and command line in the firmware's hash table (`kernel-hashes=on`). It is what an owner lists in a
// policy before any machine has run.
//
// Sources: "SEV Secure Nested Paging Firmware ABI Specification" (56860), 8.17 SNP_LAUNCH_UPDATE with PAGE_INFO, for the digest; "AMD64 Architecture
// Programmer's Manual", volume 2, table B-4, for the save area of a virtual processor; QEMU's target/i386/sev.c and OVMF's
// OvmfPkg/ResetVector for what is put where.
//
// Invariants. A firmware that this package does not understand to the last entry is refused: a digest of half of it would be a lie. There is no
// measurement without a kernel, since the firmware alone says nothing of what runs.
//
// Non-goals: SEV and SEV-ES, a paravisor (SVSM), IGVM files, Intel TDX, and virtual machine monitors other than QEMU on KVM, which set other registers.
package measurement

import "crypto/sha512"

// Digest is a launch measurement as a report has it.
type Digest [sha512.Size384]byte

// MaxProcessors is more than KVM gives a guest.
const MaxProcessors = 4096

// SNPActive is the feature that makes a guest one of SEV-SNP; bits beside it are the host's choice at the launch, and measured.
const SNPActive = 1

// Guest is all that is measured of one.
type Guest struct {
	Firmware   *Firmware
	Kernel     [32]byte // SHA-256 of the file
	Initrd     [32]byte // SHA-256 of the file, or of nothing
	Command    string   // the kernel's command line, as QEMU's -append has it
	Processors int
	Signature  uint32 // of the virtual processors, as CPUID function 1 gives it in EAX
	Features   uint64 // SEV features of each virtual processor
}

// Launch is the measurement of a guest as QEMU starts it.
func Launch(g Guest) (Digest, error) {
	if err := g.check(); err != nil {
		return Digest{}, err
	}
	var c chain
	c.content(uint64(g.Firmware.base()), g.Firmware.image)
	for _, section := range g.Firmware.sections {
		c.section(section, g)
	}
	// The first processor starts at the reset vector, all others where the firmware keeps them waiting.
	c.processor(saveArea(resetVector, g.Signature, g.Features))
	if g.Processors > 1 {
		waiting := saveArea(g.Firmware.waiting, g.Signature, g.Features)
		for range g.Processors - 1 {
			c.processor(waiting)
		}
	}
	return c.digest, nil
}
