package measurement

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// MaxFirmwareBytes is more than any firmware has; it ends at 4 GiB, and what lies below it is not ours to guess.
const MaxFirmwareBytes = 16 << 20

// Firmware is an OVMF image, and what it says of how it wants to be started.
type Firmware struct {
	image    []byte
	hashes   uint32 // where the table of the kernel's digests lies
	waiting  uint32 // where processors other than the first start; 0: nowhere
	sections []section
}

// base is where the image lies: its end is at 4 GiB.
func (f *Firmware) base() uint32 { return uint32(1<<32 - uint64(len(f.image))) }

// The entries of the table at a firmware's end that are read here.
var (
	tableGUID    = guid("96b582de-1fb2-45f7-baea-a366c55a082d")
	hashesGUID   = guid("7255371f-3a3b-4b04-927b-1da6efa8d454")
	resetGUID    = guid("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
	metadataGUID = guid("dc886566-984a-4798-a75e-5585a7bf67cc")
)

const (
	entryHeader = 2 + 16 // the length of an entry with this header, then its name; both behind what they describe
	// tableEnd is how far before the image's end the table ends: before the reset vector.
	tableEnd = 32
)

// ParseFirmware reads an OVMF image. Every refusal is an InvalidArgument that says what is missing.
func ParseFirmware(image []byte) (*Firmware, error) {
	if len(image) == 0 || len(image) > MaxFirmwareBytes || len(image)%pageBytes != 0 {
		return nil, refuseFirmware("it has %d bytes, which is no whole number of pages up to %d", len(image), MaxFirmwareBytes)
	}
	table, err := tableOf(image)
	if err != nil {
		return nil, err
	}
	f := &Firmware{image: image}
	if f.sections, err = sectionsOf(image, table[metadataGUID]); err != nil {
		return nil, err
	}
	if f.waiting, err = optionalAddress(table, resetGUID); err != nil {
		return nil, err
	}
	if f.hashes, err = optionalAddress(table, hashesGUID); err != nil {
		return nil, err
	}
	return f, f.checkSections()
}

// tableOf reads the entries backwards from the image's end, as they are laid.
func tableOf(image []byte) (map[[16]byte][]byte, error) {
	end := len(image) - tableEnd
	footer := image[end-entryHeader : end]
	length := int(binary.LittleEndian.Uint16(footer))
	if [16]byte(footer[2:]) != tableGUID {
		return nil, refuseFirmware("there is no table of GUIDs at its end")
	}
	if length < entryHeader || length > end {
		return nil, refuseFirmware("its table of GUIDs has a length of %d bytes", length)
	}
	table := map[[16]byte][]byte{}
	rest := image[end-length : end-entryHeader]
	for len(rest) > 0 {
		if len(rest) < entryHeader {
			return nil, refuseFirmware("its table of GUIDs begins in the middle of an entry")
		}
		header := rest[len(rest)-entryHeader:]
		name, length := [16]byte(header[2:]), int(binary.LittleEndian.Uint16(header))
		if length < entryHeader || length > len(rest) {
			return nil, refuseFirmware("an entry of its table of GUIDs has a length of %d bytes", length)
		}
		if _, twice := table[name]; twice {
			return nil, refuseFirmware("its table of GUIDs has the entry %x twice", name)
		}
		table[name] = rest[len(rest)-length : len(rest)-entryHeader]
		rest = rest[:len(rest)-length]
	}
	return table, nil
}

// optionalAddress is the first number of an entry, or 0 where there is none.
func optionalAddress(table map[[16]byte][]byte, name [16]byte) (uint32, error) {
	data, ok := table[name]
	if !ok {
		return 0, nil
	}
	if len(data) < 4 {
		return 0, refuseFirmware("the entry %x of its table of GUIDs has %d bytes", name, len(data))
	}
	return binary.LittleEndian.Uint32(data), nil
}

func refuseFirmware(format string, args ...any) error {
	return refusal.New(refusal.InvalidArgument, "use a build of OVMF for SEV-SNP with kernel hashes, such as OVMF.amdsev.fd",
		"this firmware cannot be measured: %s", fmt.Sprintf(format, args...))
}

// guid is a GUID as it lies in memory: the first three fields are little endian. It is given constants only.
func guid(text string) [16]byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != 16 {
		panic("no GUID: " + text)
	}
	return [16]byte{raw[3], raw[2], raw[1], raw[0], raw[5], raw[4], raw[7], raw[6], raw[8], raw[9], raw[10], raw[11], raw[12], raw[13], raw[14], raw[15]}
}
