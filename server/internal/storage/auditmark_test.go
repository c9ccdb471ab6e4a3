package storage

import (
	"bytes"
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestTheAuditMarkIsKept(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if lines, head, err := s.AuditMark().Marked(); lines != 0 || head != nil || err != nil {
		t.Errorf("a new directory: %d, %x, %v", lines, head, err)
	}
	head := bytes.Repeat([]byte{7}, 32)
	for _, lines := range []int64{3, 900, 0} { // it may go back: a damaged log is put aside
		if err := s.AuditMark().SetMark(lines, head); err != nil {
			t.Fatal(err)
		}
		for name, read := range map[string]func() (int64, []byte, error){"held": s.AuditMark().Marked, "peeked": func() (int64, []byte, error) { return PeekAuditMark(dir) }} {
			if got, chain, err := read(); got != lines || !bytes.Equal(chain, head) || err != nil {
				t.Errorf("%s: %d, %x, %v", name, got, chain, err)
			}
		}
	}
	if err := s.SetFact(t.Context(), auditMarkFact, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AuditMark().Marked(); err == nil {
		t.Error("a mark of another form is read")
	}
	if _, _, err := PeekAuditMark(filepath.Join(dir, "none")); refusal.KindOf(err) != refusal.NotFound {
		t.Errorf("no directory: %v", err)
	}
}

type smallDisk struct {
	osFiles
	free uint64
}

func (d smallDisk) room(string) (free, total uint64, err error) { return d.free, 64 << 30, nil }

func TestRoomLeavesTheReserve(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.files = smallDisk{free: reserveBytes}
	if err := s.Room(); err != nil {
		t.Errorf("with the reserve: %v", err)
	}
	s.files = smallDisk{free: reserveBytes - 1}
	if err := s.Room(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("in the reserve: %v", err)
	}
	s.files = osFiles{}
}
