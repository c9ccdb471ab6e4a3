package measurement

import (
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// maxCommand is what Linux on x86 keeps of a command line (COMMAND_LINE_SIZE): of a longer one it would drop the end.
const maxCommand = 2047

// check refuses what no guest can be.
func (g Guest) check() error {
	wrong := func(next, format string, args ...any) error {
		return refusal.New(refusal.InvalidArgument, next, format, args...)
	}
	switch {
	case g.Firmware == nil:
		return wrong("give the firmware that the guest starts with", "there is no firmware to measure")
	case g.Processors < 1 || g.Processors > MaxProcessors:
		return wrong("give the number that the guest is started with", "a guest has 1 to %d virtual processors, not %d", MaxProcessors, g.Processors)
	case g.Processors > 1 && g.Firmware.waiting == 0:
		return wrong("measure one processor, or use a firmware for SEV-ES", "this firmware does not say where more than one processor starts")
	case g.Signature == 0:
		return wrong("name the processor that QEMU's -cpu names", "no processor has the signature 0")
	case g.Features&SNPActive == 0:
		return wrong("0x1 is what QEMU asks for by default", "a guest of SEV-SNP has bit 0 of its features set, which %#x has not", g.Features)
	case strings.ContainsRune(g.Command, 0):
		return wrong("take it out", "a command line ends at its first NUL")
	case len(g.Command) > maxCommand:
		return wrong("make it shorter", "the command line has %d bytes, and Linux keeps %d", len(g.Command), maxCommand)
	}
	return nil
}
