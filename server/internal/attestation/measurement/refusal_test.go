package measurement

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func refused(t *testing.T, err error, words string) {
	t.Helper()
	var r *refusal.Error
	if !errors.As(err, &r) || r.Kind != refusal.InvalidArgument || r.Next == "" {
		t.Fatalf("not refused as it should be: %v", err)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("%q is not in %q", words, err)
	}
}

func TestGuestsThatAreRefused(t *testing.T) {
	for words, change := range map[string]func(*Guest){
		"no firmware":             func(g *Guest) { g.Firmware = nil },
		"not 0":                   func(g *Guest) { g.Processors = 0 },
		"not 4097":                func(g *Guest) { g.Processors = MaxProcessors + 1 },
		"more than one processor": func(g *Guest) { g.Processors, g.Firmware.waiting = 2, 0 },
		"the signature 0":         func(g *Guest) { g.Signature = 0 },
		"0x20 has not":            func(g *Guest) { g.Features = 0x20 },
		"NUL":                     func(g *Guest) { g.Command = "a\x00b" },
		"2048 bytes":              func(g *Guest) { g.Command = strings.Repeat("a", maxCommand+1) },
	} {
		t.Run(words, func(t *testing.T) {
			g := vectors(t)[0].guest(t)
			change(&g)
			digest, err := Launch(g)
			refused(t, err, words)
			if digest != (Digest{}) {
				t.Error("a measurement came of it")
			}
		})
	}
}

func TestProcessorsThatAreNotKnown(t *testing.T) {
	for _, name := range []string{"", "host", "EPYC-Naples", "EPYC-v", "EPYC-v0", "EPYC-v1x", "EPYC-v100", "-v1", "epyc"} {
		_, err := SignatureOf(name)
		refused(t, err, "is not known")
	}
}

// image is a firmware whose tables a test lays out itself.
type image struct {
	sections []section
	hashes   uint32
	bytes    int
	metadata func(metadata []byte)
	entries  func(entries [][]byte) [][]byte
	footer   func(footer []byte)
}

func sound() image {
	return image{sections: []section{{0x800000, 0x3000, sectionMemory}, {0x803000, 0x1000, sectionSecrets}, {0x804000, 0x1000, sectionCPUID}, {0x805000, 0x1000, sectionHashes}},
		hashes: 0x805C00, bytes: 4 * pageBytes}
}

func tableEntry(name [16]byte, data ...byte) []byte {
	return append(binary.LittleEndian.AppendUint16(data, uint16(len(data)+entryHeader)), name[:]...)
}

func address(value uint32) []byte { return binary.LittleEndian.AppendUint32(nil, value) }

func (i image) build() []byte {
	metadata := []byte("ASEV")
	for _, number := range []uint32{uint32(metadataHeader + sectionBytes*len(i.sections)), 1, uint32(len(i.sections))} {
		metadata = binary.LittleEndian.AppendUint32(metadata, number)
	}
	for _, s := range i.sections {
		metadata = append(append(append(metadata, address(s.Address)...), address(s.Length)...), address(uint32(s.Kind))...)
	}
	if i.metadata != nil {
		i.metadata(metadata)
	}
	entries := [][]byte{tableEntry(hashesGUID, address(i.hashes)...), tableEntry(resetGUID, address(0x80B004)...), tableEntry(metadataGUID, 0, 0, 0, 0)}
	if i.entries != nil {
		entries = i.entries(entries)
	}
	table := bytes.Join(entries, nil)
	length := len(table) + entryHeader
	// Where the metadata lie is known only now; they are put at the image's start.
	if at := bytes.Index(table, metadataGUID[:]); at >= 6 {
		copy(table[at-6:], address(uint32(i.bytes)))
	}
	footer := append(binary.LittleEndian.AppendUint16(nil, uint16(length)), tableGUID[:]...)
	if i.footer != nil {
		i.footer(footer)
	}
	tail := append(append(table, footer...), make([]byte, tableEnd)...)
	whole := make([]byte, i.bytes)
	copy(whole, metadata)
	copy(whole[i.bytes-len(tail):], tail)
	return whole
}

func TestFirmwareThatIsRefused(t *testing.T) {
	if _, err := ParseFirmware(sound().build()); err != nil {
		t.Fatalf("the sound one: %v", err)
	}
	for name, test := range map[string]struct {
		change func(*image)
		words  string
	}{
		"no table":                    {func(i *image) { i.footer = func(f []byte) { f[5]++ } }, "no table of GUIDs"},
		"a table shorter than itself": {func(i *image) { i.footer = func(f []byte) { binary.LittleEndian.PutUint16(f, 17) } }, "a length of 17"},
		"a table longer than the image": {func(i *image) {
			i.bytes, i.footer = pageBytes, func(f []byte) { binary.LittleEndian.PutUint16(f, 4065) }
		}, "a length of 4065"},
		"a table that begins in an entry": {func(i *image) {
			i.footer = func(f []byte) { binary.LittleEndian.PutUint16(f, binary.LittleEndian.Uint16(f)+5) }
		}, "the middle of an entry"},
		"an entry too short": {func(i *image) {
			i.entries = func(e [][]byte) [][]byte { binary.LittleEndian.PutUint16(e[0][4:], 17); return e }
		}, "a length of 17"},
		"an entry too long": {func(i *image) {
			i.entries = func(e [][]byte) [][]byte { binary.LittleEndian.PutUint16(e[0][4:], 23); return e }
		}, "a length of 23"},
		"an entry twice": {func(i *image) { i.entries = func(e [][]byte) [][]byte { return append(e, e[1]) } }, "twice"},
		"an address cut": {func(i *image) { i.entries = func(e [][]byte) [][]byte { e[1] = tableEntry(resetGUID, 1, 2); return e } }, "has 2 bytes"},
		"hashes cut":     {func(i *image) { i.entries = func(e [][]byte) [][]byte { e[0] = tableEntry(hashesGUID); return e } }, "has 0 bytes"},
		"no metadata":    {func(i *image) { i.entries = func(e [][]byte) [][]byte { return e[:2] } }, "no metadata"},
		"metadata too far": {func(i *image) {
			i.entries = func(e [][]byte) [][]byte { e[2] = tableEntry(metadataGUID); return append(e[:2], e[2]) }
		}, "no metadata"},
		"no signature":        {func(i *image) { i.metadata = func(m []byte) { m[0]++ } }, "there are none"},
		"another version":     {func(i *image) { i.metadata = func(m []byte) { m[8]++ } }, "version 2"},
		"a section too many":  {func(i *image) { i.metadata = func(m []byte) { m[12]++ } }, "for 5 sections"},
		"four thousand":       {func(i *image) { i.metadata = func(m []byte) { m[13], m[4], m[5] = 16, 64, 192 } }, "sections"},
		"an empty section":    {func(i *image) { i.sections[0].Length = 0 }, "not made of pages"},
		"a crooked length":    {func(i *image) { i.sections[0].Length++ }, "not made of pages"},
		"a crooked address":   {func(i *image) { i.sections[0].Address += 8 }, "not made of pages"},
		"beyond 4 GiB":        {func(i *image) { i.sections[0].Address = 0xFFFFF000 }, "not made of pages"},
		"a huge section":      {func(i *image) { i.sections[0].Length = maxSectionsBytes }, "more than"},
		"an unknown kind":     {func(i *image) { i.sections[0].Kind = 9 }, "unknown kind 9"},
		"two pages of secret": {func(i *image) { i.sections[1].Length *= 2 }, "one page is known"},
		"two pages of hashes": {func(i *image) { i.sections[3].Length *= 2 }, "one page is known"},
		"no hashes":           {func(i *image) { i.sections = i.sections[:3] }, "would not be measured"},
		"hashes twice":        {func(i *image) { i.sections = append(i.sections, i.sections[3]) }, "needs one"},
		"hashes elsewhere":    {func(i *image) { i.hashes -= pageBytes }, "has room for them at"},
		"hashes at the end":   {func(i *image) { i.hashes = 0x805F60 }, "has room for them at"},
		"hashes nowhere":      {func(i *image) { i.entries = func(e [][]byte) [][]byte { return e[1:] } }, "has room for them at"},
	} {
		t.Run(name, func(t *testing.T) {
			i := sound()
			test.change(&i)
			_, err := ParseFirmware(i.build())
			refused(t, err, test.words)
		})
	}
	for _, length := range []int{0, 1, pageBytes - 1, pageBytes + 1, MaxFirmwareBytes + pageBytes} {
		_, err := ParseFirmware(make([]byte, length))
		refused(t, err, "whole number of pages")
	}
	for _, distance := range []uint32{0, 15, 4*pageBytes + 1, 1<<32 - 1} {
		whole := sound().build()
		at := bytes.Index(whole, metadataGUID[:])
		copy(whole[at-6:], address(distance))
		_, err := ParseFirmware(whole)
		refused(t, err, "before its end")
	}
}
