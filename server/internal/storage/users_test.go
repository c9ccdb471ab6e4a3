package storage

import (
	"database/sql"
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

func TestARegistrationIsKeptWithTheModeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	ctx := t.Context()
	for _, err := range []error{
		s.SetFact(ctx, ModeFact, []byte(ModeDevelopment)),
		s.RecordUser(ctx, "seen", []byte{1}, 10),
		s.RegisterUser(ctx, UserRow{ID: "seen", PublicKey: []byte{1}, Name: "ada", Roles: 3, AddedUnixMS: 20}),
		s.RegisterUser(ctx, UserRow{ID: "new", PublicKey: []byte{2}, Roles: 1, AddedUnixMS: 30}),
		s.RevokeUser(ctx, "new"),
		s.RegisterUser(ctx, UserRow{ID: "seen", PublicKey: []byte{1}, Roles: 2, AddedUnixMS: 40}), // other roles, and the old name
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	want := []UserRow{
		{ID: "seen", PublicKey: []byte{1}, Name: "ada", Roles: 2, AddedUnixMS: 10, LastSeenUnixMS: 10},
		{ID: "new", PublicKey: []byte{2}, Roles: 1, Revoked: true, AddedUnixMS: 30},
	}
	if got, err := s.Users(ctx); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("users %+v, %v", got, err)
	}
	if mode, _, err := s.Fact(ctx, ModeFact); err != nil || string(mode) != ModeRegistered {
		t.Errorf("the mode is %q, %v", mode, err)
	}
	if err := s.RegisterUser(ctx, UserRow{ID: "new", PublicKey: []byte{2}, Roles: 1}); err != nil {
		t.Fatal(err)
	}
	if row, err := s.User(ctx, "new"); err != nil || row.Revoked || row.AddedUnixMS != 30 {
		t.Errorf("registered again: %+v, %v", row, err)
	}
	if err := s.RevokeUser(ctx, "nobody"); !errors.Is(err, ErrNoRow) {
		t.Errorf("got %v", err)
	}

	// Where the mode cannot be written the user is not there either.
	s = openStore(t, t.TempDir())
	if _, err := s.db.ExecContext(ctx, "CREATE TRIGGER broken BEFORE INSERT ON facts BEGIN SELECT RAISE(ABORT, 'no'); END"); err != nil {
		t.Fatal(err)
	}
	if err := s.RegisterUser(ctx, UserRow{ID: "u", PublicKey: []byte{1}, Roles: 1}); err == nil {
		t.Error("registered")
	}
	if known, err := s.KnowsUser(ctx, "u"); known || err != nil {
		t.Errorf("known %t, %v", known, err)
	}
}

// A directory of the release before had development mode only: its keys are registered by nobody, and its datasets are everybody's.
func TestUsersAndDatasetsOfBeforeStayWhatTheyWere(t *testing.T) {
	const before = 3
	db, err := sql.Open("sqlite", databaseURL(filepath.Join(t.TempDir(), DatabaseFile)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := migrate(t.Context(), db, migrations[:before]); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"INSERT INTO users (id, public_key, first_seen_unix_ms, last_seen_unix_ms) VALUES ('u', x'01', 5, 6)",
		"INSERT INTO datasets (id, owner, created_unix_ms, card, records, record_bytes, blob_sha256, blob_bytes) VALUES ('d', 'u', 7, x'', 1, 1, x'', 1)",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := migrate(t.Context(), db, migrations[:]); err != nil {
		t.Fatal(err)
	}
	s := &Store{db: db}
	if row, err := s.User(t.Context(), "u"); err != nil || !reflect.DeepEqual(row, UserRow{ID: "u", PublicKey: []byte{1}, AddedUnixMS: 5, LastSeenUnixMS: 6}) {
		t.Errorf("user %+v, %v", row, err)
	}
	row, err := s.Dataset(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	permissions := &bastionlabv1.Permissions{}
	everybody := &bastionlabv1.Permissions{Grants: []*bastionlabv1.Grant{{Train: true, Test: true, TakeHome: true}}}
	if err := proto.Unmarshal(row.Permissions, permissions); err != nil || !proto.Equal(permissions, everybody) {
		t.Errorf("permissions %v, %v", permissions, err)
	}
}
