package storage

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// NewMemfd makes an anonymous file in memory that can be sealed. It is how payloads reach a trainer: by descriptor, never by path.
func NewMemfd(name string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// SECURITY: a payload is never a program to start. Kernels before 6.3 do not know the flag.
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, outOfSpace(fmt.Errorf("make memory file: %w", err))
	}
	return os.NewFile(uintptr(fd), name), nil
}

const payloadSeals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// SealMemfd makes the file immutable for everyone and for good, and rewinds it.
// SECURITY: a trainer that could write to the records it shares with the next run could speak to it.
func SealMemfd(file *os.File) error {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, payloadSeals); err != nil {
		return fmt.Errorf("seal memory file: %w", err)
	}
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return fmt.Errorf("seal memory file: %w", err)
	}
	if seals&payloadSeals != payloadSeals {
		return errors.New("seal memory file: the kernel did not take the seals")
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("seal memory file: %w", err)
	}
	return nil
}
