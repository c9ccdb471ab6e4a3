package ledger

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// AsideFolder holds the ledgers of earlier boots. Nothing in it is ever changed or removed.
const AsideFolder = "ledgers"

// Forgetter is an Acknowledger that a new ledger begins with.
type Forgetter interface {
	Acknowledger
	// Forget takes the position back, durably: there is none then.
	Forget() error
}

// OpenAnew puts the ledger of an earlier boot aside, whose key is gone, and begins one with the writer's key. A crash between any two steps
// leaves what the next OpenAnew goes on from: a ledger that was put aside is whole, as it was left, under a name of its own.
func OpenAnew(dir string, ack Forgetter, writer Writer) (*Ledger, error) {
	return openAnew(dir, ack, writer, osDisk{}, time.Now)
}

func openAnew(dir string, ack Forgetter, writer Writer, disk disk, now func() time.Time) (*Ledger, error) {
	if err := putAside(dir, disk, now); err != nil {
		return nil, fmt.Errorf("put the ledger of before aside: %w", err)
	}
	// Only now, when the file's new name is durable: a position without a file is one of a ledger that is lost.
	if err := ack.Forget(); err != nil {
		return nil, fmt.Errorf("put the ledger of before aside: %w", err)
	}
	return open(dir, sealedMark{ack, writer.Key}, writer, disk, now)
}

func putAside(dir string, disk disk, now func() time.Time) error {
	folder := filepath.Join(dir, AsideFolder)
	if err := disk.makeDir(folder); err != nil {
		return err
	}
	// Names sort by time. The random part keeps a clock that was set back from naming two alike.
	var random [8]byte
	rand.Read(random[:]) // never fails
	name := fmt.Sprintf("%015d-%s.log", max(now().UnixMilli(), 0), hex.EncodeToString(random[:]))
	err := disk.rename(filepath.Join(dir, FileName), filepath.Join(folder, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also where there was none: a start that crashed may have renamed it and not come this far.
	return errors.Join(disk.syncDir(folder), disk.syncDir(dir))
}
