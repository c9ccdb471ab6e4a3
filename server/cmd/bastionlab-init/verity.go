package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	mapperControl = "/dev/mapper/control"
	mapperName    = "root"
	sectorBytes   = 512
)

// openVerity makes the device whose every block is checked against the root hash as it is read, and returns its path.
func openVerity(spec rootSpec) (string, error) {
	control, err := os.OpenFile(mapperControl, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("open the device mapper: %w", err)
	}
	defer control.Close()
	made := newMapperCall(nil)
	if err := made.do(control, unix.DM_DEV_CREATE); err != nil {
		return "", fmt.Errorf("make the root's device: %w", err)
	}
	device := made.header().Dev
	load := newMapperCall(target(spec))
	load.header().Target_count = 1
	if err := load.do(control, unix.DM_TABLE_LOAD); err != nil {
		return "", fmt.Errorf("open the root with the hash of the command line: %w", err)
	}
	// "Suspend" without its flag is what starts a device.
	if err := newMapperCall(nil).do(control, unix.DM_DEV_SUSPEND); err != nil {
		return "", fmt.Errorf("start the root's device: %w", err)
	}
	path := fmt.Sprintf("/dev/dm-%d", unix.Minor(device))
	return path, waitFor(path)
}

// target is the one target of the table: all sectors, by dm-verity.
func target(spec rootSpec) []byte {
	parameters := append([]byte(spec.table()), 0)
	head := unix.DmTargetSpec{Length: spec.blocks * blockBytes / sectorBytes}
	copy(head.Target_type[:], "verity")
	encoded := make([]byte, 0, int(unsafe.Sizeof(head))+len(parameters))
	encoded = binary.LittleEndian.AppendUint64(encoded, head.Sector_start)
	encoded = binary.LittleEndian.AppendUint64(encoded, head.Length)
	encoded = binary.LittleEndian.AppendUint32(encoded, 0) // status, which is the kernel's to say
	encoded = binary.LittleEndian.AppendUint32(encoded, 0) // there is no next one
	encoded = append(encoded, head.Target_type[:]...)
	return append(encoded, parameters...)
}

// mapperCall is one message to the device mapper: a header, and what belongs to it behind.
type mapperCall struct{ memory []uint64 }

func newMapperCall(behind []byte) mapperCall {
	length := int(unsafe.Sizeof(unix.DmIoctl{})) + len(behind)
	c := mapperCall{make([]uint64, (length+7)/8)}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&c.memory[0])), len(c.memory)*8)
	copy(bytes[unsafe.Sizeof(unix.DmIoctl{}):], behind)
	h := c.header()
	h.Version = [3]uint32{unix.DM_VERSION_MAJOR, 0, 0}
	h.Data_size, h.Data_start = uint32(len(bytes)), uint32(unsafe.Sizeof(*h))
	h.Flags = unix.DM_READONLY_FLAG
	copy(h.Name[:], mapperName)
	return c
}

func (c mapperCall) header() *unix.DmIoctl { return (*unix.DmIoctl)(unsafe.Pointer(&c.memory[0])) }

func (c mapperCall) do(control *os.File, request uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), request, uintptr(unsafe.Pointer(&c.memory[0]))); errno != 0 {
		return errno
	}
	return nil
}
