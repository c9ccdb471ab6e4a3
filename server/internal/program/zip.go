package program

import (
	"encoding/binary"
	"errors"
	"io"
	"unicode"
	"unicode/utf8"
)

// The zip format as PKWARE's APPNOTE 6.3 has it, and of it only what torch.jit.save writes. archive/zip is not used because it is kind:
// it searches for the directory, allows bytes before, between and after, and takes memory for what the file claims.
const (
	endBytes       = 22
	end64Bytes     = 56
	locator64Bytes = 20
	centralBytes   = 46
	localBytes     = 30

	signEnd       = 0x06054b50
	signEnd64     = 0x06064b50
	signLocator64 = 0x07064b50
	signCentral   = 0x02014b50
	signLocal     = 0x04034b50

	flagDescriptor = 0x0008
	flagUTF8       = 0x0800
	flagsOfDeflate = 0x0006 // how hard it was compressed; no matter to a reader

	methodStore   = 0
	methodDeflate = 8

	maxDescriptorBytes = 24

	tagZip64    = 1
	saturated16 = 0xffff
	saturated32 = 0xffffffff
)

type zipEnd struct {
	entries, directoryBytes, directoryOffset int64
}

type zipEntry struct {
	name             string
	flags, method    uint16
	compressed, size int64
	offset           int64
}

// readEnd reads the end of the directory, which must be the last thing in the file.
func readEnd(file io.ReaderAt, size int64) (zipEnd, error) {
	if size < endBytes {
		return zipEnd{}, refused("it has %d bytes", size)
	}
	raw, err := readAt(file, size-endBytes, endBytes)
	if err != nil {
		return zipEnd{}, err
	}
	le := binary.LittleEndian
	if le.Uint32(raw) != signEnd || le.Uint16(raw[20:]) != 0 {
		return zipEnd{}, refused("it does not end as a zip without a comment does")
	}
	if le.Uint16(raw[4:]) != 0 || le.Uint16(raw[6:]) != 0 || le.Uint16(raw[8:]) != le.Uint16(raw[10:]) {
		return zipEnd{}, refused("it is one part of several")
	}
	end := zipEnd{
		entries: int64(le.Uint16(raw[10:])), directoryBytes: int64(le.Uint32(raw[12:])), directoryOffset: int64(le.Uint32(raw[16:])),
	}
	start := size - endBytes
	wide, ok, err := readEnd64(file, start)
	if err != nil {
		return zipEnd{}, err
	}
	if ok {
		// Both ends must say the same, or the narrow one that it cannot.
		if !agrees(end.entries, wide.entries, saturated16) || !agrees(end.directoryBytes, wide.directoryBytes, saturated32) ||
			!agrees(end.directoryOffset, wide.directoryOffset, saturated32) {
			return zipEnd{}, refused("its two ends contradict each other")
		}
		end, start = wide, start-locator64Bytes-end64Bytes
	}
	if end.directoryOffset < 0 || end.directoryBytes < 0 || end.directoryOffset > start || end.directoryBytes != start-end.directoryOffset {
		return zipEnd{}, refused("its directory does not lie where it says")
	}
	if end.entries < 1 || end.entries > end.directoryBytes/centralBytes {
		return zipEnd{}, refused("its directory cannot hold as many entries as it says")
	}
	return end, nil
}

func agrees(narrow, wide, saturated int64) bool { return narrow == wide || narrow == saturated }

// readEnd64 reads the wide end before the narrow one at start, if there is one.
func readEnd64(file io.ReaderAt, start int64) (zipEnd, bool, error) {
	if start < locator64Bytes+end64Bytes {
		return zipEnd{}, false, nil
	}
	raw, err := readAt(file, start-locator64Bytes-end64Bytes, locator64Bytes+end64Bytes)
	if err != nil {
		return zipEnd{}, false, err
	}
	le := binary.LittleEndian
	record, locator := raw[:end64Bytes], raw[end64Bytes:]
	if le.Uint32(locator) != signLocator64 {
		return zipEnd{}, false, nil
	}
	at := start - locator64Bytes - end64Bytes
	if le.Uint32(locator[4:]) != 0 || le.Uint64(locator[8:]) != uint64(at) || le.Uint32(locator[16:]) > 1 {
		return zipEnd{}, false, refused("its wide end does not lie where it says")
	}
	if le.Uint32(record) != signEnd64 || le.Uint64(record[4:]) != end64Bytes-12 || le.Uint32(record[16:]) != 0 || le.Uint32(record[20:]) != 0 ||
		le.Uint64(record[24:]) != le.Uint64(record[32:]) {
		return zipEnd{}, false, refused("its wide end is malformed")
	}
	// A value beyond int64 becomes negative, which readEnd refuses.
	return zipEnd{
		entries: int64(le.Uint64(record[32:])), directoryBytes: int64(le.Uint64(record[40:])), directoryOffset: int64(le.Uint64(record[48:])),
	}, true, nil
}

// readDirectory reads all central entries; they must fill the directory.
func readDirectory(file io.ReaderAt, end zipEnd) ([]zipEntry, error) {
	raw, err := readAt(file, end.directoryOffset, end.directoryBytes)
	if err != nil {
		return nil, err
	}
	entries := make([]zipEntry, 0, end.entries)
	for i := range end.entries {
		entry, rest, err := readCentral(raw, i)
		if err != nil {
			return nil, err
		}
		entries, raw = append(entries, entry), rest
	}
	if len(raw) != 0 {
		return nil, refused("its directory holds more than its entries")
	}
	return entries, nil
}

func readCentral(raw []byte, number int64) (zipEntry, []byte, error) {
	le := binary.LittleEndian
	if len(raw) < centralBytes || le.Uint32(raw) != signCentral {
		return zipEntry{}, nil, refused("entry %d of its directory is malformed", number)
	}
	e := zipEntry{
		flags: le.Uint16(raw[8:]), method: le.Uint16(raw[10:]),
		compressed: int64(le.Uint32(raw[20:])), size: int64(le.Uint32(raw[24:])), offset: int64(le.Uint32(raw[42:])),
	}
	nameBytes, extraBytes, commentBytes := int(le.Uint16(raw[28:])), int(le.Uint16(raw[30:])), int(le.Uint16(raw[32:]))
	if len(raw)-centralBytes < nameBytes+extraBytes || commentBytes != 0 || le.Uint16(raw[34:]) != 0 {
		return zipEntry{}, nil, refused("entry %d of its directory is malformed", number)
	}
	// SECURITY: whatever flag is not known to be harmless - encryption first of all - is refused.
	if e.flags&^(flagDescriptor|flagUTF8|flagsOfDeflate) != 0 {
		return zipEntry{}, nil, refused("entry %d is encrypted or uses what archives of models do not use", number)
	}
	if e.method != methodStore && e.method != methodDeflate {
		return zipEntry{}, nil, refused("entry %d is compressed by a method that archives of models do not use", number)
	}
	e.name = string(raw[centralBytes : centralBytes+nameBytes])
	extra := raw[centralBytes+nameBytes : centralBytes+nameBytes+extraBytes]
	if !e.widen(extra) {
		return zipEntry{}, nil, refused("entry %d has malformed wide sizes", number)
	}
	return e, raw[centralBytes+nameBytes+extraBytes:], nil
}

// widen replaces what is saturated by the wide values of the extra field. The field must hold just those.
func (e *zipEntry) widen(extra []byte) bool {
	var wide []byte
	found := false
	for len(extra) > 0 {
		if len(extra) < 4 {
			return false
		}
		tag, length := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if len(extra)-4 < length || (tag == tagZip64 && found) {
			return false
		}
		if tag == tagZip64 {
			found, wide = true, extra[4:4+length]
		}
		extra = extra[4+length:]
	}
	for _, value := range []*int64{&e.size, &e.compressed, &e.offset} {
		if *value != saturated32 {
			continue
		}
		if len(wide) < 8 {
			return false
		}
		*value = int64(binary.LittleEndian.Uint64(wide))
		wide = wide[8:]
		if *value < saturated32 { // too small to be wide, or beyond int64
			return false
		}
	}
	return len(wide) == 0
}

// readLocal checks an entry's own header and returns where its data ends.
func readLocal(file io.ReaderAt, e zipEntry, directory int64) (int64, error) {
	if e.offset > directory-localBytes-int64(len(e.name)) {
		return 0, refused("an entry lies beyond its directory")
	}
	raw, err := readAt(file, e.offset, localBytes+int64(len(e.name)))
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if le.Uint32(raw) != signLocal || le.Uint16(raw[6:]) != e.flags || le.Uint16(raw[8:]) != e.method ||
		int(le.Uint16(raw[26:])) != len(e.name) || string(raw[localBytes:]) != e.name {
		return 0, refused("an entry's own header is not what its directory says")
	}
	compressed, size := int64(le.Uint32(raw[18:])), int64(le.Uint32(raw[22:]))
	described := e.flags&flagDescriptor != 0 && compressed == 0 && size == 0
	if !described && (!agrees(compressed, e.compressed, saturated32) || !agrees(size, e.size, saturated32)) {
		return 0, refused("an entry's own sizes are not what its directory says")
	}
	data := e.offset + localBytes + int64(len(e.name)) + int64(le.Uint16(raw[28:]))
	if data > directory || e.compressed > directory-data {
		return 0, refused("an entry reaches into its directory")
	}
	return data + e.compressed, nil
}

func readAt(file io.ReaderAt, offset, length int64) ([]byte, error) {
	raw := make([]byte, length)
	n, err := file.ReadAt(raw, offset)
	switch {
	case n == len(raw):
		return raw, nil
	case err == nil || errors.Is(err, io.EOF):
		return nil, refused("it is shorter than it says")
	}
	return nil, err
}

// printableName keeps out what a log, a terminal or another file system would read differently.
func printableName(name string) bool {
	if !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if r == '\\' || r == ':' || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
