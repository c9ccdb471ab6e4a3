package measurement

import (
	"bytes"
	"encoding/binary"
)

// section is a part of the guest's memory that the firmware wants prepared before the start.
type section struct {
	Address, Length uint32
	Kind            sectionKind
}

type sectionKind uint32

// The kinds of OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm.
const (
	sectionMemory      sectionKind = 1
	sectionSecrets     sectionKind = 2
	sectionCPUID       sectionKind = 3
	sectionCallingArea sectionKind = 4 // of an SVSM; zeros without one
	sectionHashes      sectionKind = 0x10
)

const (
	metadataHeader = 4 + 4 + 4 + 4 // signature, length, version, number of sections
	sectionBytes   = 4 + 4 + 4
	// maxSectionsBytes bounds what a firmware can make us measure; OVMF's take a quarter of a MiB.
	maxSectionsBytes = 64 << 20
)

var metadataSignature = []byte("ASEV")

// sectionsOf reads the metadata for SEV, whose distance from the image's end is in the table.
func sectionsOf(image, entry []byte) ([]section, error) {
	if len(entry) < 4 {
		return nil, refuseFirmware("it has no metadata for SEV-SNP")
	}
	distance := uint64(binary.LittleEndian.Uint32(entry))
	if distance > uint64(len(image)) || distance < metadataHeader {
		return nil, refuseFirmware("its metadata for SEV lie %d bytes before its end", distance)
	}
	metadata := image[uint64(len(image))-distance:]
	if !bytes.HasPrefix(metadata, metadataSignature) {
		return nil, refuseFirmware("where its metadata for SEV should be there are none")
	}
	length, version, count := binary.LittleEndian.Uint32(metadata[4:]), binary.LittleEndian.Uint32(metadata[8:]), binary.LittleEndian.Uint32(metadata[12:])
	if version != 1 {
		return nil, refuseFirmware("its metadata for SEV have version %d, and version 1 is known", version)
	}
	if uint64(length) != metadataHeader+sectionBytes*uint64(count) || uint64(length) > uint64(len(metadata)) {
		return nil, refuseFirmware("its metadata for SEV have %d bytes for %d sections", length, count)
	}
	var sections []section
	for rest := metadata[metadataHeader:length]; len(rest) > 0; rest = rest[sectionBytes:] {
		sections = append(sections, section{binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:]), sectionKind(binary.LittleEndian.Uint32(rest[8:]))})
	}
	return sections, nil
}

// checkSections refuses sections that would be measured otherwise than QEMU does, and a table of digests where the firmware would not look.
func (f *Firmware) checkSections() error {
	total, tables := uint64(0), 0
	for _, s := range f.sections {
		if s.Length == 0 || s.Length%pageBytes != 0 || s.Address%pageBytes != 0 || uint64(s.Address)+uint64(s.Length) > 1<<32 {
			return refuseFirmware("a section of %d bytes at %#x is not made of pages", s.Length, s.Address)
		}
		if total += uint64(s.Length); total > maxSectionsBytes {
			return refuseFirmware("its sections take more than %d bytes", maxSectionsBytes)
		}
		switch s.Kind {
		case sectionMemory, sectionCallingArea:
			continue
		case sectionSecrets, sectionCPUID:
		case sectionHashes:
			// SECURITY: with the table elsewhere the firmware would check nothing of what it loads, under the same measurement.
			if tables++; f.hashes/pageBytes*pageBytes != s.Address || f.hashes%pageBytes > pageBytes-hashTablePadded {
				return refuseFirmware("it looks for the digests of kernel, initrd and command line at %#x, and has room for them at %#x", f.hashes, s.Address)
			}
		default:
			return refuseFirmware("it has a section of the unknown kind %d", s.Kind)
		}
		if s.Length != pageBytes {
			return refuseFirmware("a section of kind %d has %d bytes, and one page is known", s.Kind, s.Length)
		}
	}
	if tables != 1 {
		return refuseFirmware("it has %d places for the digests of kernel, initrd and command line, and needs one: what it starts would not be measured", tables)
	}
	return nil
}
