package measurement

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
)

const pageBytes = 4096

// pageType is what SNP_LAUNCH_UPDATE is told of a page.
type pageType byte

const (
	pageNormal  pageType = 1
	pageVMSA    pageType = 2
	pageZero    pageType = 3
	pageSecrets pageType = 5
	pageCPUID   pageType = 6
)

// processorAddress is where the save areas of virtual processors count as lying: the highest page of 52 address bits.
const processorAddress = 0xFFFFFFFFF000

// pageInfoBytes is the length of PAGE_INFO, which holds its own.
const pageInfoBytes = 0x70

// chain is the launch digest as it grows: of the digest so far, of a page and of where and what that is.
type chain struct{ digest Digest }

func (c *chain) page(kind pageType, address uint64, content Digest) {
	info := make([]byte, 0, pageInfoBytes)
	info = append(info, c.digest[:]...)
	info = append(info, content[:]...)
	info = binary.LittleEndian.AppendUint16(info, pageInfoBytes)
	// No page is part of an image to migrate, and lower privilege levels are given none.
	info = append(info, byte(kind), 0, 0, 0, 0, 0)
	info = binary.LittleEndian.AppendUint64(info, address)
	c.digest = sha512.Sum384(info)
}

// content are pages whose bytes are measured; data is a whole number of them.
func (c *chain) content(address uint64, data []byte) {
	for offset := 0; offset < len(data); offset += pageBytes {
		c.page(pageNormal, address+uint64(offset), sha512.Sum384(data[offset:offset+pageBytes]))
	}
}

// zeros are pages that the processor clears: their address counts, and no content.
func (c *chain) zeros(address uint64, length uint32) {
	for offset := uint32(0); offset < length; offset += pageBytes {
		c.page(pageZero, address+uint64(offset), Digest{})
	}
}

func (c *chain) processor(area []byte) {
	c.page(pageVMSA, processorAddress, sha512.Sum384(area))
}

func (c *chain) section(s section, g Guest) {
	address := uint64(s.Address)
	switch s.Kind {
	case sectionMemory, sectionCallingArea:
		c.zeros(address, s.Length)
	case sectionSecrets:
		c.page(pageSecrets, address, Digest{})
	case sectionCPUID:
		// The page is given to the guest by the host and checked by the processor; its content is not measured.
		c.page(pageCPUID, address, Digest{})
	case sectionHashes:
		page := bytes.Repeat([]byte{0}, pageBytes)
		copy(page[g.Firmware.hashes%pageBytes:], hashTable(g))
		c.content(address, page)
	}
}
