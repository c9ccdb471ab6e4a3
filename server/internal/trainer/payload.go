package trainer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"golang.org/x/sys/unix"
)

// What was checked must stay what was checked, and what is mapped must not shrink away under a read.
const requiredSeals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK

// mapSealed maps a memory file for reading. It stays mapped until the process ends.
func mapSealed(file *os.File) ([]byte, error) {
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("payload is no memory file: %w", err)
	}
	if seals&requiredSeals != requiredSeals {
		return nil, badRequest("a payload is not sealed")
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if info.Size() == 0 {
		return nil, badRequest("a payload is empty")
	}
	// Private, because older kernels refuse to share what is sealed against writing; read-only, so the pages are shared all the same.
	mapped, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map payload: %w", err)
	}
	return mapped, nil
}

// announcedBytes maps a payload and compares it with what was announced of it.
// SECURITY: plan, ledger and this process mean the same bytes or there is no run.
func announcedBytes(file *os.File, what string, digest []byte, size int64) ([]byte, error) {
	content, err := mapSealed(file)
	if err != nil {
		return nil, err
	}
	if found := sha256.Sum256(content); int64(len(content)) != size || !bytes.Equal(found[:], digest) {
		return nil, refuse(trainerv1.Fault_CODE_DIGEST_MISMATCH, "the %s's bytes are not those that were announced", what)
	}
	return content, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
