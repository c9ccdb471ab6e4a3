package audit

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Renewed is the action of the first entry of a log that was begun because the one before it was damaged.
const Renewed = "AuditLog.Renewed"

// Renew moves the files of a log into a folder beside them, which it names, and begins a new log with an entry that says so. The caller holds
// the directory.
func Renew(dir string, mark Mark) (where string, err error) {
	names, err := osDisk{}.names(dir)
	if err != nil {
		return "", err
	}
	where = filepath.Join(dir, fmt.Sprintf("audit-until-%s", time.Now().UTC().Format("20060102T150405.000Z")))
	if err := os.Mkdir(where, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the audit log: %w", err)
	}
	for _, name := range names {
		if name != FileName && !laterName.MatchString(name) {
			continue
		}
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(where, name)); err != nil {
			return "", fmt.Errorf("put the audit log aside: %w", err)
		}
	}
	for _, folder := range []string{where, dir} {
		if err := (osDisk{}).syncDir(folder); err != nil {
			return "", err
		}
	}
	if err := mark.SetMark(0, make([]byte, len(head{}))); err != nil {
		return "", err
	}
	l, err := Open(Config{Dir: dir, Mark: mark, Room: func() error { return nil }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return "", err
	}
	if err := l.Record(Entry{User: Operator, Action: Renewed, Allowed: true, Binding: "socket"}, true); err != nil {
		_ = l.Close()
		return "", err
	}
	return where, l.Close()
}
