package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAPayloadCannotBeChangedByAnyone(t *testing.T) {
	s := openStore(t, t.TempDir())
	content := bytes.Repeat([]byte("record"), 50_000)
	digest := writeBlob(t, s, "dataset", "a", content)
	payload, err := s.BlobMemfd(t.Context(), "dataset", "a", digest)
	if err != nil {
		t.Fatal(err)
	}
	defer payload.Close()
	if got, err := io.ReadAll(payload); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := payload.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("write: %v", err)
	}
	for _, size := range []int64{0, int64(len(content)) + 1} {
		if err := payload.Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("resize to %d: %v", size, err)
		}
	}
	if _, err := unix.Mmap(int(payload.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
		t.Errorf("map for writing: %v", err)
	}
	if _, err := unix.FcntlInt(payload.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); !errors.Is(err, unix.EPERM) {
		t.Errorf("another seal: %v", err)
	}
	mapped, err := unix.Mmap(int(payload.Fd()), 0, len(content), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatalf("map for reading: %v", err)
	}
	if err := unix.Munmap(mapped); err != nil {
		t.Error(err)
	}
}

func TestAPayloadIsGivenForItsDigestOnlyAndNotToWhoLeft(t *testing.T) {
	s := openStore(t, t.TempDir())
	digest := writeBlob(t, s, "dataset", "a", []byte("content"))
	other := writeBlob(t, s, "dataset", "b", []byte("another"))
	before := openDescriptors(t)
	var fault *BlobError
	if _, err := s.BlobMemfd(t.Context(), "dataset", "a", other); !errors.As(err, &fault) || fault.Fault != BlobDamaged {
		t.Errorf("another digest: %v", err)
	}
	if _, err := s.BlobMemfd(t.Context(), "dataset", "a", nil); !errors.As(err, &fault) {
		t.Errorf("no digest: %v", err)
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.BlobMemfd(left, "dataset", "a", digest); !errors.Is(err, context.Canceled) {
		t.Errorf("caller left: %v", err)
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
