package identity

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Roles is what a user is here.
type Roles = permission.Roles

// Users keeps who is known. Each of its changes is durable when it returns nil, or none of it is made.
type Users interface {
	// RecordUser remembers that a key signed in.
	RecordUser(ctx context.Context, id string, publicKey []byte, nowUnixMS int64) error
	KnowsUser(ctx context.Context, id string) (bool, error)
	CountUsers(ctx context.Context) (int64, error)

	// Users returns all rows, first added first.
	Users(ctx context.Context) ([]storage.UserRow, error)
	User(ctx context.Context, id string) (storage.UserRow, error)
	// RegisterUser keeps a key with its roles, and that the directory is one for registered identities: both or neither.
	RegisterUser(ctx context.Context, row storage.UserRow) error
	RevokeUser(ctx context.Context, id string) error
}

// standing is what a user is at the moment. It ends, and with it every call that goes on under it, when it becomes less.
type standing struct {
	roles Roles
	ended chan struct{}
}

func newStanding(roles Roles) *standing { return &standing{roles, make(chan struct{})} }

// Registry says who may sign in, and as what. Its changes hold from the moment they return, for sessions that are open too. Its methods may be
// called concurrently.
type Registry struct {
	users Users
	now   func() time.Time

	development atomic.Bool
	changing    sync.Mutex // of what is kept and what is known here, together

	guard      sync.RWMutex
	registered map[string]*standing
	revoked    map[string]bool
	guests     map[string]*standing // keys that signed in in development mode; nil: it is over, for good
}

// maxRegistered is more users than any server has. All are in memory.
const maxRegistered = 10_000

// OpenRegistry reads the registry. In development mode every key is taken, those apart that were revoked.
func OpenRegistry(ctx context.Context, users Users, development bool, now func() time.Time) (*Registry, error) {
	if now == nil {
		now = time.Now
	}
	r := &Registry{users: users, now: now, registered: map[string]*standing{}, revoked: map[string]bool{}}
	rows, err := users.Users(ctx)
	if err != nil {
		return nil, fmt.Errorf("read who is registered: %w", err)
	}
	for _, row := range rows {
		roles := Roles(row.Roles)
		switch {
		case row.Revoked:
			r.revoked[row.ID] = true
		case roles.Valid():
			r.registered[row.ID] = newStanding(roles)
		}
		// SECURITY: a directory in which anybody was ever registered is none for development, whatever else it says, also where all were revoked.
		development = development && roles == 0
	}
	if development {
		r.guests = map[string]*standing{}
	}
	r.development.Store(development)
	return r, nil
}

// Development says whether every key is taken. Once it says no, it never says yes again.
func (r *Registry) Development() bool { return r.development.Load() }

// RolesOf is what a user is at the moment; none for who may not sign in.
func (r *Registry) RolesOf(user string) Roles {
	if user == MachineOperator {
		return permission.Operator
	}
	if s := r.standingOf(user); s != nil {
		return s.roles
	}
	return 0
}

// MachineOperator names whoever speaks on the socket in the data directory. It is no key.
const MachineOperator = "operator"

// standingOf is nil for who may not sign in.
// SECURITY: asked for every call, so that a session outlives its user's standing by no call.
func (r *Registry) standingOf(user string) *standing {
	r.guard.RLock()
	defer r.guard.RUnlock()
	if r.revoked[user] {
		return nil
	}
	if s := r.registered[user]; s != nil {
		return s
	}
	return r.guests[user]
}

// Admit lets a key in that was proved.
func (r *Registry) Admit(ctx context.Context, user User) error {
	r.guard.RLock()
	revoked, registered, development := r.revoked[user.ID], r.registered[user.ID] != nil, r.guests != nil
	r.guard.RUnlock()
	switch {
	case revoked:
		return refusal.New(refusal.PermissionDenied, "ask the server's operator", "this key was revoked on this server")
	case registered:
		return nil
	case !development:
		return refusal.New(refusal.PermissionDenied, "send the public key (the file that ends in .pub) to the server's operator, who adds it with `bastionlab user add`",
			"this key is not registered on this server")
	}
	if err := r.hasPlace(ctx, user); err != nil {
		return err
	}
	r.guard.Lock()
	defer r.guard.Unlock()
	if r.guests != nil && r.guests[user.ID] == nil {
		r.guests[user.ID] = newStanding(permission.OfDevelopment)
	}
	return nil
}

// maxUsers bounds the keys that development mode lets in, to a number that no honest machine sees.
const maxUsers = 100_000

func (r *Registry) hasPlace(ctx context.Context, user User) error {
	known, err := r.users.KnowsUser(ctx, user.ID)
	if known || err != nil {
		return err
	}
	count, err := r.users.CountUsers(ctx)
	if err != nil {
		return err
	}
	if count >= maxUsers {
		return refusal.New(refusal.Unavailable, "ask the server's operator", "the server knows %d users and takes no new ones", count)
	}
	return nil
}
