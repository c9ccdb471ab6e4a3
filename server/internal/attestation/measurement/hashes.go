package measurement

import (
	"crypto/sha256"
	"encoding/binary"
)

// The table in which QEMU hands the firmware the digests of what it will load, and the entries in their order. GUIDs are written as they lie in
// memory, the first three fields little endian.
var (
	hashTableGUID = guid("9438d606-4f22-4cc9-b479-a793d411fd21")
	commandGUID   = guid("97d02dd8-bd20-4c94-aa78-e7714d36ab2a")
	initrdGUID    = guid("44baf731-3a2f-4bd7-9af1-41e29169781d")
	kernelGUID    = guid("4de79437-abd2-427f-b835-d5b172d2045b")
)

const (
	hashEntryBytes = 16 + 2 + sha256.Size
	hashTableBytes = 16 + 2 + 3*hashEntryBytes
	// hashTablePadded is up to the next 16 bytes, as QEMU lays it.
	hashTablePadded = (hashTableBytes + 15) &^ 15
)

func hashTable(g Guest) []byte {
	table := make([]byte, 0, hashTablePadded)
	table = append(table, hashTableGUID[:]...)
	table = binary.LittleEndian.AppendUint16(table, hashTableBytes)
	entry := func(name [16]byte, digest [32]byte) {
		table = append(table, name[:]...)
		table = binary.LittleEndian.AppendUint16(table, hashEntryBytes)
		table = append(table, digest[:]...)
	}
	entry(commandGUID, sha256.Sum256(append([]byte(g.Command), 0)))
	entry(initrdGUID, g.Initrd)
	entry(kernelGUID, g.Kernel)
	return table[:hashTablePadded]
}
