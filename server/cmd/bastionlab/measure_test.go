package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/attestation/measurement"
	"github.com/bastionlab/bastionlab/server/internal/attestation/verification"
)

// guestFiles are what `bastionlab measure` is given of a guest, in a folder of the test's.
type guestFiles struct {
	firmware, kernel, initrd, commandLine, trainer, config string
}

// theFirmware is that of a vector: see tools/vectors/measurement.py.
func theFirmware(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile("../../../vectors/measurement/sev_snp.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Firmware struct {
				Bytes     int
				Seed, End string
			}
		}
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	of := file.Cases[0].Firmware
	end, err := hex.DecodeString(of.End)
	if err != nil {
		t.Fatal(err)
	}
	var image []byte
	for counter := uint64(0); len(image) < of.Bytes; counter++ {
		block := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(of.Seed), counter))
		image = append(image, block[:]...)
	}
	return append(image[:of.Bytes-len(end)], end...)
}

func newGuestFiles(t *testing.T) guestFiles {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kernel := make([]byte, 1024)
	copy(kernel[kernelMagicAt:], kernelMagic)
	return guestFiles{
		file("firmware", theFirmware(t)), file("kernel", kernel), file("initrd", []byte("files")), file("cmdline", []byte("a=b\n")), file("trainer", []byte("trainer")),
		file("config", []byte("storage = memory\nlisten = 0.0.0.0:50056\n")),
	}
}

func (f guestFiles) arguments(more ...string) []string {
	return append([]string{"measure", "--firmware", f.firmware, "--kernel", f.kernel, "--initrd", f.initrd}, more...)
}

var ofAMilan = []string{"--command-line", "a=b", "--vcpus", "2", "--vcpu-type", "EPYC-Milan"}

// expected is what the package says of the same files.
func (f guestFiles) expected(t *testing.T, processors int) string {
	t.Helper()
	firmware, err := measurement.ParseFirmware(theFirmware(t))
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := os.ReadFile(f.kernel)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := measurement.Launch(measurement.Guest{Firmware: firmware, Kernel: sha256.Sum256(kernel), Initrd: sha256.Sum256([]byte("files")), Command: "a=b",
		Processors: processors, Signature: 0xA00F11, Features: 1})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(digest[:])
}

func TestMeasure(t *testing.T) {
	f := newGuestFiles(t)
	missing := f
	missing.firmware += "x"
	for name, test := range map[string]struct {
		arguments []string
		status    int
		words     []string
	}{
		"one number":          {f.arguments(ofAMilan...), 0, []string{f.expected(t, 2) + "\n"}},
		"by signature":        {f.arguments("--command-line-file", f.commandLine, "--vcpus", "2", "--vcpu-signature", "0xa00f11"), 0, []string{f.expected(t, 2) + "\n"}},
		"two numbers":         {f.arguments("--command-line", "a=b", "--vcpus", "1,2", "--vcpu-type", "EPYC-Milan-v2"), 0, []string{"1      " + f.expected(t, 1), "2      " + f.expected(t, 2)}},
		"as JSON":             {f.arguments(append(ofAMilan, "--json")...), 0, []string{`"measurement":"` + f.expected(t, 2), `"vcpu_signature":"0xa00f11"`, `"initrd":"` + hexSHA256("files")}},
		"TDX":                 {f.arguments(append(ofAMilan, "--platform", "tdx")...), 2, []string{"TDX", "verify evidence"}},
		"simulated":           {f.arguments(append(ofAMilan, "--platform", "simulated")...), 2, []string{"--platform takes sev-snp"}},
		"a cloud":             {f.arguments(append(ofAMilan, "--vmm", "ec2")...), 2, []string{`"ec2"`, "only guests of qemu"}},
		"no firmware":         {[]string{"measure"}, 2, []string{"--firmware is missing"}},
		"no kernel":           {[]string{"measure", "--firmware", f.firmware}, 2, []string{"--kernel is missing"}},
		"no number":           {f.arguments(), 2, []string{"--vcpus is missing"}},
		"no processor":        {f.arguments("--vcpus", "1"), 2, []string{"--vcpu-type"}},
		"two processors":      {f.arguments(append(ofAMilan, "--vcpu-signature", "1")...), 2, []string{"not both"}},
		"no command line":     {f.arguments("--vcpus", "1", "--vcpu-type", "EPYC"), 2, []string{"--command-line is missing"}},
		"two of them":         {f.arguments(append(ofAMilan, "--command-line-file", f.commandLine)...), 2, []string{"not both"}},
		"no such type":        {f.arguments("--command-line", "", "--vcpus", "1", "--vcpu-type", "host"), 2, []string{"--vcpu-signature"}},
		"no signature":        {f.arguments("--command-line", "", "--vcpus", "1", "--vcpu-signature", "x"), 2, []string{"0xa00f11"}},
		"no features":         {f.arguments(append(ofAMilan, "--guest-features", "on")...), 2, []string{"--guest-features takes a number"}},
		"not there":           {missing.arguments(ofAMilan...), 7, []string{"there is no file", "firmware"}},
		"no initrd there":     {guestFiles{firmware: f.firmware, kernel: f.kernel, initrd: f.initrd + "x"}.arguments(ofAMilan...), 7, []string{"initial file system"}},
		"no firmware it":      {guestFiles{firmware: f.kernel, kernel: f.kernel, initrd: f.initrd}.arguments(ofAMilan...), 2, []string{"this firmware cannot be measured"}},
		"no kernel it":        {guestFiles{firmware: f.firmware, kernel: f.initrd, initrd: f.initrd}.arguments(ofAMilan...), 2, []string{"no Linux kernel"}},
		"a firmware for it":   {guestFiles{firmware: f.firmware, kernel: f.firmware, initrd: f.initrd}.arguments(ofAMilan...), 2, []string{"no Linux kernel"}},
		"a floor for nothing": {f.arguments(append(ofAMilan, "--tcb", "Milan:bl=4")...), 2, []string{"--policy"}},
		"an argument":         {f.arguments(append(ofAMilan, "x")...), 2, []string{"takes no argument"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems bytes.Buffer
			status := runCommand(test.arguments, &out, &problems)
			said := out.String() + problems.String()
			if status != test.status || (status != 0 && out.Len() > 0) {
				t.Errorf("status %d:\n%s", status, said)
			}
			for _, word := range test.words {
				if !strings.Contains(said, word) {
					t.Errorf("%q is not in\n%s", word, said)
				}
			}
		})
	}
}

func hexSHA256(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

const milanFloor = "Milan:bl=4,tee=0,snp=24,ucode=219"

func TestThePolicyOfAMeasuredGuest(t *testing.T) {
	f := newGuestFiles(t)
	path := filepath.Join(t.TempDir(), "policy.json")
	chip := strings.Repeat("c1", 64)
	var out, problems bytes.Buffer
	status := runCommand(f.arguments("--command-line", "a=b", "--vcpus", "1,2", "--vcpu-type", "EPYC-Milan", "--policy", path, "--tcb", milanFloor, "--chip-id", chip, "--allow", "smt",
		"--trainer", f.trainer, "--config", f.config), &out, &problems)
	if status != 0 || problems.Len() > 0 {
		t.Fatalf("status %d: %s", status, problems.String())
	}
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := verification.ParsePolicy(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2} {
		if !p.Measurements.Has(f.expected(t, n)) {
			t.Errorf("the measurement of %d is not in\n%s", n, document)
		}
	}
	s := settings{trainer: f.trainer, logLevel: "info"}
	digest, err := s.digest("memory")
	if err != nil {
		t.Fatal(err)
	}
	if !p.ConfigDigests.Has(hex.EncodeToString(digest[:])) || len(p.ConfigDigests.Values()) != 1 || p.Measurements.IsAny() || len(p.Measurements.Values()) != 2 ||
		!p.ChipIDs.Has(chip) || p.ChipIDs.IsAny() || p.Development || len(p.Warnings()) > 0 || p.TCB["Milan"]["snp"] != 24 || len(p.Platforms) != 1 {
		t.Errorf("%s", document)
	}
}

func TestPoliciesThatAreNotWritten(t *testing.T) {
	f := newGuestFiles(t)
	path := filepath.Join(t.TempDir(), "policy.json")
	odd := f.config + "-odd"
	if err := os.WriteFile(odd, []byte("storge = memory\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		arguments []string
		status    int
		words     string
	}{
		"no floor":              {[]string{"--trainer", f.trainer}, 2, "--tcb"},
		"no trainer":            {[]string{"--tcb", milanFloor}, 2, "--trainer"},
		"no such trainer":       {[]string{"--tcb", milanFloor, "--trainer", f.trainer + "x"}, 8, "cannot be read"},
		"no product":            {[]string{"--tcb", "bl=4", "--trainer", f.trainer}, 2, "--tcb takes"},
		"another product":       {[]string{"--tcb", "Naples:bl=4", "--trainer", f.trainer}, 2, "Milan, Genoa or Turin"},
		"half a floor":          {[]string{"--tcb", "Milan:bl=4", "--trainer", f.trainer}, 2, "no client would take"},
		"a part twice":          {[]string{"--tcb", milanFloor + ",bl=3", "--trainer", f.trainer}, 2, "--tcb takes"},
		"a product twice":       {[]string{"--tcb", milanFloor, "--tcb", milanFloor, "--trainer", f.trainer}, 2, "each product once"},
		"a level that is none":  {[]string{"--tcb", "Milan:bl=256", "--trainer", f.trainer}, 2, "--tcb takes"},
		"half a chip":           {[]string{"--tcb", milanFloor, "--trainer", f.trainer, "--chip-id", "c1"}, 2, "chip_ids"},
		"debug":                 {[]string{"--tcb", milanFloor, "--trainer", f.trainer, "--allow", "debug"}, 2, "allow"},
		"an odd configuration":  {[]string{"--tcb", milanFloor, "--trainer", f.trainer, "--config", odd}, 2, "line 1"},
		"a file in no folder":   {[]string{"--tcb", milanFloor, "--trainer", f.trainer, "--policy", path + "/x/y"}, 2, "cannot be written"},
		"one that is not there": {[]string{"--tcb", milanFloor, "--trainer", f.trainer, "--config", odd + "x"}, 2, "configuration file"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems bytes.Buffer
			status := runCommand(append(f.arguments(append(ofAMilan, "--policy", path)...), test.arguments...), &out, &problems)
			if status != test.status || !strings.Contains(problems.String(), test.words) {
				t.Errorf("status %d: %q is not in\n%s", status, test.words, problems.String())
			}
			if fileExists(path) {
				t.Error("a policy was written")
			}
		})
	}
}
