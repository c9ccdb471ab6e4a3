package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	tokenLifetime = time.Hour
	tokenBytes    = 32
	// maxTokensPerUser lets one person run many clients at once; the oldest session gives way.
	maxTokensPerUser = 64
	maxTokens        = 100_000
)

// tokens are the open sessions, by the digest of the token.
// SECURITY: looked up by digest: neither the map's timing nor a memory dump gives a token away.
type tokens struct {
	sessions map[[sha256.Size]byte]tokenSession
	byUser   map[string][][sha256.Size]byte // oldest first
}

type tokenSession struct {
	user  User
	bound bound
	ends  time.Time
}

// on says whether a token that comes on a channel is of a sign-in that was bound to it.
// SECURITY: a token that was seen on one connection is worth nothing on another, where its holder signed in by the exporter.
func (t tokenSession) on(channel Channel) bool {
	now, known := channel.boundBy(t.bound.binding)
	return known && now == t.bound
}

func newTokens() tokens {
	return tokens{sessions: map[[sha256.Size]byte]tokenSession{}, byUser: map[string][][sha256.Size]byte{}}
}

func (t *tokens) open(user User, bound bound, now time.Time) (string, error) {
	if len(t.sessions) >= maxTokens {
		t.sweep(now)
	}
	if len(t.byUser[user.ID]) >= maxTokensPerUser {
		t.end(t.byUser[user.ID][0])
	}
	if len(t.sessions) >= maxTokens {
		return "", refusal.New(refusal.Unavailable, "try again later", "the server has as many open sessions as it takes")
	}
	var random [tokenBytes]byte
	rand.Read(random[:]) // never fails
	token := base64.RawURLEncoding.EncodeToString(random[:])
	digest := sha256.Sum256([]byte(token))
	t.sessions[digest] = tokenSession{user: user, bound: bound, ends: now.Add(tokenLifetime)}
	t.byUser[user.ID] = append(t.byUser[user.ID], digest)
	return token, nil
}

func (t *tokens) find(token string, now time.Time) (tokenSession, bool) {
	digest := sha256.Sum256([]byte(token))
	session, ok := t.sessions[digest]
	if !ok {
		return tokenSession{}, false
	}
	if !now.Before(session.ends) {
		t.end(digest)
		return tokenSession{}, false
	}
	return session, true
}

func (t *tokens) end(digest [sha256.Size]byte) {
	user := t.sessions[digest].user.ID
	delete(t.sessions, digest)
	kept := slices.DeleteFunc(t.byUser[user], func(d [sha256.Size]byte) bool { return d == digest })
	if len(kept) == 0 {
		delete(t.byUser, user)
		return
	}
	t.byUser[user] = kept
}

func (t *tokens) endAll(user string) {
	for _, digest := range slices.Clone(t.byUser[user]) {
		t.end(digest)
	}
}

func (t *tokens) sweep(now time.Time) {
	for digest, session := range t.sessions {
		if !now.Before(session.ends) {
			t.end(digest)
		}
	}
}
