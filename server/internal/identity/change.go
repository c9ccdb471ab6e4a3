package identity

import (
	"context"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// List returns every key that the server knows, first added first.
func (r *Registry) List(ctx context.Context) ([]storage.UserRow, error) { return r.users.Users(ctx) }

// Add registers a key, or gives a registered one, also one that was revoked, other roles. The first one closes development mode for good.
func (r *Registry) Add(ctx context.Context, publicKey []byte, name string, roles Roles) (storage.UserRow, error) {
	if !validKey(publicKey) {
		return storage.UserRow{}, refusal.New(refusal.InvalidArgument,
			"give the public key of an Ed25519 or P-256 key as SubjectPublicKeyInfo, such as a .pub file of the Python client",
			"this is no public key that can sign in here")
	}
	if !roles.Valid() {
		return storage.UserRow{}, refusal.New(refusal.InvalidArgument, "give one or more of owner, scientist and operator", "a user needs a role")
	}
	if err := checkName(name); err != nil {
		return storage.UserRow{}, err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	user := UserOf(publicKey)
	if err := r.hasRoom(user); err != nil {
		return storage.UserRow{}, err
	}
	// A change that was begun is not given up halfway: what is kept and what holds here must agree.
	ctx = context.WithoutCancel(ctx)
	row := storage.UserRow{ID: user.ID, PublicKey: publicKey, Name: name, Roles: int64(roles), AddedUnixMS: r.now().UnixMilli()}
	if err := r.users.RegisterUser(ctx, row); err != nil {
		return storage.UserRow{}, err
	}
	r.admitted(user.ID, roles)
	return r.users.User(ctx, user.ID)
}

func (r *Registry) hasRoom(user User) error {
	r.guard.RLock()
	defer r.guard.RUnlock()
	if r.registered[user.ID] == nil && len(r.registered) >= maxRegistered {
		return refusal.New(refusal.Unavailable, "revoke users who are gone", "%d users are registered, and the server takes no more", len(r.registered))
	}
	return nil
}

// admitted makes a registration hold.
// SECURITY: the mode is closed before anybody is registered: at no moment is a server with registered users one that takes every key.
func (r *Registry) admitted(user string, roles Roles) {
	r.guard.Lock()
	defer r.guard.Unlock()
	r.development.Store(false)
	for _, guest := range r.guests {
		close(guest.ended)
	}
	r.guests = nil
	before := r.registered[user]
	r.registered[user] = newStanding(roles)
	delete(r.revoked, user)
	switch {
	case before == nil:
	case before.roles&^roles != 0: // it became less
		close(before.ended)
	default:
		// Calls go on under the old standing; it must still end when this one does.
		r.registered[user].ended = before.ended
	}
}

// Revoke ends a user's sessions, and the calls that are open under them, and lets the key in no more.
func (r *Registry) Revoke(ctx context.Context, user string) (storage.UserRow, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	row, err := r.find(ctx, user)
	if err != nil {
		return storage.UserRow{}, err
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.users.RevokeUser(ctx, user); err != nil {
		return storage.UserRow{}, err
	}
	r.guard.Lock()
	defer r.guard.Unlock()
	r.revoked[user] = true
	for _, standings := range []map[string]*standing{r.registered, r.guests} {
		if s := standings[user]; s != nil {
			close(s.ended)
			delete(standings, user)
		}
	}
	row.Revoked = true
	return row, nil
}

func (r *Registry) find(ctx context.Context, user string) (storage.UserRow, error) {
	row, err := r.users.User(ctx, user)
	if errors.Is(err, storage.ErrNoRow) {
		return row, refusal.New(refusal.NotFound, "look at the list of users", "there is no such user")
	}
	return row, err
}

const maxNameBytes = 128

// checkName: the name of a user is shown on terminals.
func checkName(name string) error {
	if len(name) > maxNameBytes || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return refusal.New(refusal.InvalidArgument, "give a shorter, plain name",
			"the user's name is longer than %d bytes, or has characters that cannot be printed", maxNameBytes)
	}
	return nil
}
