package storage

import (
	"context"
	"errors"
	"fmt"
)

// UserRow is a key that was registered, or that signed in while the directory was one for development.
type UserRow struct {
	ID             string // hex SHA-256 of PublicKey
	PublicKey      []byte // SubjectPublicKeyInfo, DER
	Name           string
	Roles          int64 // permission.Roles; 0: never registered
	Revoked        bool
	AddedUnixMS    int64 // or first seen
	LastSeenUnixMS int64 // 0: never
}

// The fact that says what a directory is for.
const (
	ModeFact        = "mode"
	ModeDevelopment = "development" // every key is taken
	ModeRegistered  = "registered"  // for good
)

// RecordUser remembers that the key signed in, for the first time or again.
func (s *Store) RecordUser(ctx context.Context, id string, publicKey []byte, nowUnixMS int64) error {
	return s.exec(ctx, "record user", 1, `INSERT INTO users (id, public_key, added_unix_ms, last_seen_unix_ms) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET last_seen_unix_ms = excluded.last_seen_unix_ms`, id, publicKey, nowUnixMS, nowUnixMS)
}

// RegisterUser keeps a key with its name and roles, and that the directory is one for registered identities: both or neither. A key that is known keeps when it
// was added, and its name where none is given; one that was revoked is not any more.
func (s *Store) RegisterUser(ctx context.Context, u UserRow) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return outOfSpace(fmt.Errorf("register user: %w", err))
	}
	defer tx.Rollback() // does nothing after Commit
	err = execOn(ctx, tx, "register user", 1, `INSERT INTO users (id, public_key, name, roles, added_unix_ms, last_seen_unix_ms) VALUES (?, ?, ?, ?, ?, 0)
		ON CONFLICT (id) DO UPDATE SET roles = excluded.roles, revoked = 0, name = CASE excluded.name WHEN '' THEN name ELSE excluded.name END`,
		u.ID, u.PublicKey, u.Name, u.Roles, u.AddedUnixMS)
	if err != nil {
		return err
	}
	// SECURITY: with the user or not at all, so that no start of the server ever finds the one without the other.
	if err := setFact(ctx, tx, ModeFact, []byte(ModeRegistered)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return outOfSpace(fmt.Errorf("register user: %w", err))
	}
	return nil
}

// RevokeUser marks a key as one that is taken no more.
func (s *Store) RevokeUser(ctx context.Context, id string) error {
	return s.exec(ctx, "revoke user", 1, "UPDATE users SET revoked = 1 WHERE id = ?", id)
}

// User returns the row of one key, or an error that wraps ErrNoRow.
func (s *Store) User(ctx context.Context, id string) (UserRow, error) {
	return queryRow(ctx, s, "read user", scanUser, userColumns+" WHERE id = ?", id)
}

// KnowsUser says whether the key was registered or signed in before.
func (s *Store) KnowsUser(ctx context.Context, id string) (bool, error) {
	_, err := s.User(ctx, id)
	if errors.Is(err, ErrNoRow) {
		return false, nil
	}
	return err == nil, err
}

// CountUsers is how many keys are known.
func (s *Store) CountUsers(ctx context.Context) (int64, error) {
	scan := func(row scanner) (count int64, err error) { return count, row.Scan(&count) }
	return queryRow(ctx, s, "count users", scan, "SELECT count(*) FROM users")
}

// Users lists all keys, first added first.
func (s *Store) Users(ctx context.Context) ([]UserRow, error) {
	return queryRows(ctx, s, "list users", scanUser, userColumns+" ORDER BY added_unix_ms, id")
}

const userColumns = "SELECT id, public_key, name, roles, revoked, added_unix_ms, last_seen_unix_ms FROM users"

func scanUser(row scanner) (u UserRow, err error) {
	return u, row.Scan(&u.ID, &u.PublicKey, &u.Name, &u.Roles, &u.Revoked, &u.AddedUnixMS, &u.LastSeenUnixMS)
}
