package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/attestation/measurement"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// measured is what a guest is made of, as the command line names it.
type measured struct {
	platform, vmm             string
	firmware, kernel, initrd  string
	commandLine, commandFile  string
	processors                []int
	model, signature, feature string
	json                      bool
	policy                    policyWanted
}

func newMeasureCommand() *cobra.Command {
	var m measured
	command := &cobra.Command{
		Use:   "measure --firmware FILE --kernel FILE --initrd FILE --command-line TEXT --vcpus N --vcpu-type NAME",
		Short: "Say what launch measurement a guest of SEV-SNP will have, and write the policy that takes it",
		Long: `Say what launch measurement a guest of SEV-SNP will have that QEMU starts with these files and kernel-hashes=on. Nothing is started, and no
device is needed. With --policy it also writes the policy that takes this guest and no other: for that, name the floors of the firmware with
--tcb, the trainer and the configuration file of the image, and your chips if you know them.`,
		Example: `  bastionlab measure --firmware OVMF.amdsev.fd --kernel vmlinuz --initrd initrd --command-line-file cmdline --vcpus 2,4 --vcpu-type EPYC-Milan`,
		Args:    noArguments,
		RunE:    func(command *cobra.Command, _ []string) error { return m.run(command) },
	}
	flags := command.Flags()
	flags.StringVar(&m.platform, "platform", attestation.FormatSNP, "sev-snp; tdx is not computed")
	flags.StringVar(&m.vmm, "vmm", "qemu", "what starts the guest: qemu, on KVM")
	flags.StringVar(&m.firmware, "firmware", "", "OVMF, built for SEV-SNP with kernel hashes")
	flags.StringVar(&m.kernel, "kernel", "", "the kernel (QEMU's -kernel)")
	flags.StringVar(&m.initrd, "initrd", "", "the initial file system (QEMU's -initrd), if there is one")
	flags.StringVar(&m.commandLine, "command-line", "", "the kernel's command line (QEMU's -append)")
	flags.StringVar(&m.commandFile, "command-line-file", "", "a file with the command line; one newline at its end is not part of it")
	flags.IntSliceVar(&m.processors, "vcpus", nil, "number of virtual processors; several with commas between them, one measurement each")
	flags.StringVar(&m.model, "vcpu-type", "", "the processor's name to QEMU (-cpu): "+strings.Join(measurement.Models(), ", "))
	flags.StringVar(&m.signature, "vcpu-signature", "", "or its signature, the EAX of CPUID function 1, such as 0xa00f11")
	flags.StringVar(&m.feature, "guest-features", "0x1", "SEV features of the virtual processors")
	flags.BoolVar(&m.json, "json", false, "print JSON, with the digest of each input")
	m.policy.register(flags)
	return command
}

func (m *measured) run(command *cobra.Command) error {
	if err := m.check(command); err != nil {
		return err
	}
	guest, err := m.guest(command)
	if err != nil {
		return err
	}
	shapes := make([]shape, 0, len(m.processors))
	for _, n := range m.processors {
		guest.Processors = n
		digest, err := measurement.Launch(guest)
		if err != nil {
			return err
		}
		shapes = append(shapes, shape{n, hex.EncodeToString(digest[:])})
	}
	if err := m.policy.write(command, shapes); err != nil {
		return err
	}
	return m.print(command, guest, shapes)
}

// shape is a guest's number of processors and what it measures with that.
type shape struct {
	Processors  int    `json:"vcpus"`
	Measurement string `json:"measurement"`
}

// check refuses by name what this release does not compute, and a command line that names too little.
func (m *measured) check(command *cobra.Command) error {
	switch m.platform {
	case attestation.FormatSNP:
	case attestation.FormatTDX:
		return refusal.New(refusal.InvalidArgument, "start the guest once on a machine that you trust, save its evidence, and take MRTD and the RTMRs from `bastionlab verify evidence`",
			"this release does not compute what a guest of TDX will measure")
	default:
		return usageError(command, "--platform takes sev-snp, got %q", m.platform)
	}
	if m.vmm != "qemu" {
		return refusal.New(refusal.InvalidArgument, "ask its vendor for the measurement; of a public cloud it is often that of the vendor's firmware, and says nothing of what runs",
			"what %.40q starts is not computed: only guests of qemu on KVM are", m.vmm)
	}
	for _, needed := range []struct {
		name  string
		given bool
	}{{"firmware", m.firmware != ""}, {"kernel", m.kernel != ""}, {"vcpus", len(m.processors) > 0}, {"vcpu-type (or --vcpu-signature)", m.model+m.signature != ""}} {
		if !needed.given {
			return usageError(command, "--%s is missing", needed.name)
		}
	}
	if m.model != "" && m.signature != "" {
		return usageError(command, "give --vcpu-type or --vcpu-signature, not both")
	}
	if !command.Flags().Changed("command-line") && m.commandFile == "" {
		return usageError(command, "--command-line is missing; an empty one is written as \"\"")
	}
	if command.Flags().Changed("command-line") && m.commandFile != "" {
		return usageError(command, "give --command-line or --command-line-file, not both")
	}
	return m.policy.check(command)
}

// guest reads all that is measured but the number of processors.
func (m *measured) guest(command *cobra.Command) (g measurement.Guest, err error) {
	if g.Signature, err = m.processor(command); err != nil {
		return g, err
	}
	if g.Features, err = strconv.ParseUint(m.feature, 0, 64); err != nil {
		return g, usageError(command, "--guest-features takes a number such as 0x1, got %q", m.feature)
	}
	image, err := readDocument(command, m.firmware, "firmware", measurement.MaxFirmwareBytes)
	if err != nil {
		return g, err
	}
	if g.Firmware, err = measurement.ParseFirmware(image); err != nil {
		return g, err
	}
	if g.Command, err = m.commandText(command); err != nil {
		return g, err
	}
	if g.Kernel, err = kernelDigest(m.kernel); err != nil {
		return g, err
	}
	g.Initrd = sha256.Sum256(nil)
	if m.initrd != "" {
		g.Initrd, err = measuredFile(m.initrd, "initial file system")
	}
	return g, err
}

func (m *measured) processor(command *cobra.Command) (uint32, error) {
	if m.model != "" {
		return measurement.SignatureOf(m.model)
	}
	signature, err := strconv.ParseUint(m.signature, 0, 32)
	if err != nil {
		return 0, usageError(command, "--vcpu-signature takes a number such as 0xa00f11, got %q", m.signature)
	}
	return uint32(signature), nil
}

// maxCommandFile is much more than a kernel takes.
const maxCommandFile = 64 << 10

func (m *measured) commandText(command *cobra.Command) (string, error) {
	if m.commandFile == "" {
		return m.commandLine, nil
	}
	content, err := readDocument(command, m.commandFile, "command line", maxCommandFile)
	return strings.TrimSuffix(string(content), "\n"), err
}

func (m *measured) print(command *cobra.Command, g measurement.Guest, shapes []shape) error {
	if m.json {
		image, err := measuredFile(m.firmware, "firmware")
		if err != nil {
			return err
		}
		line := sha256.Sum256([]byte(g.Command))
		return json.NewEncoder(command.OutOrStdout()).Encode(map[string]any{
			"platform": m.platform, "vmm": m.vmm, "measurements": shapes, "vcpu_signature": fmt.Sprintf("%#x", g.Signature), "guest_features": fmt.Sprintf("%#x", g.Features),
			"command_line": g.Command, "sha256": map[string]string{"firmware": hex.EncodeToString(image[:]), "kernel": hex.EncodeToString(g.Kernel[:]),
				"initrd": hex.EncodeToString(g.Initrd[:]), "command_line": hex.EncodeToString(line[:])},
		})
	}
	if len(shapes) == 1 {
		_, err := fmt.Fprintln(command.OutOrStdout(), shapes[0].Measurement)
		return err
	}
	rows := [][]string{{"VCPUS", "MEASUREMENT"}}
	for _, s := range shapes {
		rows = append(rows, []string{strconv.Itoa(s.Processors), s.Measurement})
	}
	return printTable(command, rows)
}

// The header of a Linux kernel for x86 ("The Linux/x86 Boot Protocol"): what has none is not started by QEMU as one.
const (
	kernelMagicAt = 0x202
	kernelMagic   = "HdrS"
)

func kernelDigest(path string) (digest [32]byte, err error) {
	if digest, err = measuredFile(path, "kernel"); err != nil {
		return digest, err
	}
	file, err := os.Open(path)
	if err != nil {
		return digest, fmt.Errorf("read kernel: %w", err)
	}
	defer file.Close()
	found := make([]byte, len(kernelMagic))
	if _, err := file.ReadAt(found, kernelMagicAt); err != nil || string(found) != kernelMagic {
		return digest, refusal.New(refusal.InvalidArgument, "name the kernel's bzImage, which Debian calls vmlinuz", "%s is no Linux kernel for x86", path)
	}
	return digest, nil
}
