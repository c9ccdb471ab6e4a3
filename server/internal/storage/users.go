package storage

import (
	"context"
	"errors"
)

// UserRow is a key that signed in.
type UserRow struct {
	ID              string // hex SHA-256 of PublicKey
	PublicKey       []byte // SubjectPublicKeyInfo, DER
	FirstSeenUnixMS int64
	LastSeenUnixMS  int64
}

// RecordUser remembers that the key signed in, for the first time or again.
func (s *Store) RecordUser(ctx context.Context, id string, publicKey []byte, nowUnixMS int64) error {
	return s.exec(ctx, "record user", 1, `INSERT INTO users (id, public_key, first_seen_unix_ms, last_seen_unix_ms) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET last_seen_unix_ms = excluded.last_seen_unix_ms`, id, publicKey, nowUnixMS, nowUnixMS)
}

// User returns the row of one key, or an error that wraps ErrNoRow.
func (s *Store) User(ctx context.Context, id string) (UserRow, error) {
	return queryRow(ctx, s, "read user", scanUser, userColumns+" WHERE id = ?", id)
}

// KnowsUser says whether the key signed in before.
func (s *Store) KnowsUser(ctx context.Context, id string) (bool, error) {
	_, err := s.User(ctx, id)
	if errors.Is(err, ErrNoRow) {
		return false, nil
	}
	return err == nil, err
}

// CountUsers is how many keys ever signed in.
func (s *Store) CountUsers(ctx context.Context) (int64, error) {
	scan := func(row scanner) (count int64, err error) { return count, row.Scan(&count) }
	return queryRow(ctx, s, "count users", scan, "SELECT count(*) FROM users")
}

// Users lists who signed in, first seen first.
func (s *Store) Users(ctx context.Context) ([]UserRow, error) {
	return queryRows(ctx, s, "list users", scanUser, userColumns+" ORDER BY first_seen_unix_ms, id")
}

const userColumns = "SELECT id, public_key, first_seen_unix_ms, last_seen_unix_ms FROM users"

func scanUser(row scanner) (u UserRow, err error) {
	return u, row.Scan(&u.ID, &u.PublicKey, &u.FirstSeenUnixMS, &u.LastSeenUnixMS)
}
