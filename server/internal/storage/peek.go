package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Peeked is what a check of a data directory reads of it besides the ledger's file.
type Peeked struct {
	Level          Level // empty: the directory was never opened
	Records, Bytes int64 // the ledger's last acknowledged position; zeros where there is none
	Chain          []byte
	Keys           func(purpose string) [32]byte // as Store.DeriveKey; nil where there is no key file that can be read
}

// Peek reads a data directory without holding it: a server may run on it meanwhile. It changes nothing.
func Peek(ctx context.Context, dir string) (Peeked, error) {
	db, dir, err := peekDatabase(dir)
	if err != nil {
		return Peeked{}, err
	}
	defer db.Close()
	var p Peeked
	p.Records, p.Bytes, p.Chain, err = LedgerMark{&Store{db: db}}.Acknowledged()
	if err != nil {
		return Peeked{}, err
	}
	if p.Level, err = knownLevel(ctx, &Store{db: db, dir: dir}); err != nil {
		return Peeked{}, err
	}
	content, err := ReadKeyFile(filepath.Join(dir, keyFolder, blobKeyFile))
	if err != nil {
		return p, nil // a check without the key says so
	}
	if identity, err := age.ParseX25519Identity(strings.TrimSpace(string(content))); err == nil {
		p.Keys = (&Store{identity: identity}).DeriveKey
	}
	return p, nil
}

// peekDatabase opens a directory's database for reading, and says the directory's absolute path.
func peekDatabase(dir string) (*sql.DB, string, error) {
	dir, err := filepath.Abs(dir) // a relative path would be taken for a host in the database's URL
	if err != nil {
		return nil, "", fmt.Errorf("look at data directory: %w", err)
	}
	path := filepath.Join(dir, DatabaseFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, "", refusal.New(refusal.NotFound, "name the directory that the server was started with, with --data-dir", "%s is no data directory of a server", dir)
	} else if err != nil {
		return nil, "", fmt.Errorf("look at data directory: %w", err)
	}
	location := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(10000)"}}.Encode()}
	db, err := sql.Open("sqlite", location.String())
	if err != nil {
		return nil, "", fmt.Errorf("open database: %w", err)
	}
	return db, dir, nil
}
