// Package permission says who may do what: which roles may call which method of the protocol, and what an owner lets others do with a
// dataset. It is the one place where that is written down; docs/permissions.md is printed from it.
//
// Invariants: a method without a row may be called by nobody; what a caller may not see is hidden, in the words of what there is not; nobody, the
// owner included, has a permission to read records: there is no method for it. A decision depends on nothing but its arguments.
//
// Non-goals: it finds no dataset and keeps nothing (dataset does), proves no key (identity does) and counts no budget (ledger does): an eps of a
// grant is only written here.
package permission

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	// Everybody is the name under which all who may sign in are granted something.
	Everybody = ""
	// MaxGrants bounds how many users an owner can name for one dataset: they are told in one message.
	MaxGrants = 1000

	// mostEpsilon is what no budget reaches.
	mostEpsilon = accounting.Epsilon(accounting.MaxEpsilon * 1e9)
)

// Grant is what one user may do with a dataset, or all may. To be granted anything at all, even a grant of nothing more, is to see it.
type Grant struct {
	User     string // hex SHA-256 of a public key, or Everybody
	Train    bool
	Test     bool
	TakeHome bool
	Epsilon  accounting.Epsilon // up to which, in all; 0: as far as the dataset's limit goes
}

// Permissions are an owner's word about a dataset. They are a value: what changes them makes another.
type Permissions struct {
	grants       []Grant // by user, each once
	constantTime bool
	gpu          bool
}

// OwnerOnly lets nobody do anything but the owner.
func OwnerOnly() Permissions { return Permissions{} }

// Default is what holds for a dataset whose owner said nothing.
// PRIVACY: outside development mode silence permits nothing, and in no mode a GPU: that cannot be taken back.
func Default(development bool) Permissions {
	if !development {
		return OwnerOnly()
	}
	return Permissions{grants: []Grant{{User: Everybody, Train: true, Test: true, TakeHome: true}}}
}

// FromProto judges what an owner sent.
func FromProto(sent *bastionlabv1.Permissions, owner string) (Permissions, error) {
	if len(sent.GetGrants()) > MaxGrants {
		return Permissions{}, invalid("grant to fewer, or to everybody", "a dataset has at most %d grants, and %d were given", MaxGrants, len(sent.GetGrants()))
	}
	p := Permissions{constantTime: sent.GetConstantTime(), gpu: sent.GetGpu()}
	for _, one := range sent.GetGrants() {
		g, err := GrantFromProto(one, owner)
		if err != nil {
			return Permissions{}, err
		}
		p.grants = append(p.grants, g)
	}
	slices.SortFunc(p.grants, func(a, b Grant) int { return strings.Compare(a.User, b.User) })
	for i := range p.grants[:max(len(p.grants)-1, 0)] {
		if p.grants[i].User == p.grants[i+1].User {
			return Permissions{}, invalid("name every user once", "the permissions grant twice to %s", nameOf(p.grants[i].User))
		}
	}
	return p, nil
}

// GrantFromProto judges one grant that an owner sent.
func GrantFromProto(sent *bastionlabv1.Grant, owner string) (Grant, error) {
	g := Grant{
		User: sent.GetUser(), Train: sent.GetTrain(), Test: sent.GetTest(), TakeHome: sent.GetTakeHome(), Epsilon: accounting.Epsilon(sent.GetEpsilonNano()),
	}
	if err := CheckUser(g.User); err != nil {
		return Grant{}, err
	}
	switch {
	case g.User == owner:
		return Grant{}, invalid("name somebody else", "a dataset needs no grant to its owner, who may do everything with it")
	case sent.EpsilonNano != nil && (g.Epsilon <= 0 || g.Epsilon > mostEpsilon):
		return Grant{}, invalid("give an eps above 0, such as 2.0, or leave it out", "the eps of a grant is not above 0, or too large to be one")
	case g.User == Everybody && g.Epsilon != 0:
		// A bound is of one scientist: who counts as everybody changes, and each would have all of it.
		return Grant{}, invalid("lower the dataset's limit, or name the users", "what everybody may do has no eps of its own")
	}
	return g, nil
}

// CheckUser refuses what names neither a user nor everybody.
func CheckUser(user string) error {
	if user == Everybody || validID(user) {
		return nil
	}
	return invalid("give the SHA-256 of their public key in hex, as their client.user tells it", "%.80q names no user", user)
}

// validID takes the one form of an identifier: two would be two users.
func validID(id string) bool {
	digest, err := hex.DecodeString(id)
	return err == nil && len(digest) == sha256.Size && hex.EncodeToString(digest) == id
}

// Proto is how permissions travel and are kept.
func (p Permissions) Proto() *bastionlabv1.Permissions {
	sent := &bastionlabv1.Permissions{ConstantTime: p.constantTime, Gpu: p.gpu}
	for _, g := range p.grants {
		sent.Grants = append(sent.Grants, g.Proto())
	}
	return sent
}

// Proto is how a grant travels.
func (g Grant) Proto() *bastionlabv1.Grant {
	sent := &bastionlabv1.Grant{User: g.User, Train: g.Train, Test: g.Test, TakeHome: g.TakeHome}
	if g.Epsilon != 0 {
		sent.EpsilonNano = (*int64)(&g.Epsilon)
	}
	return sent
}

// Grants are all of them, everybody's first.
func (p Permissions) Grants() []Grant { return slices.Clone(p.grants) }

// With replaces what a user was granted.
func (p Permissions) With(g Grant) (Permissions, error) {
	at, found := p.find(g.User)
	grants := slices.Clone(p.grants)
	switch {
	case found:
		grants[at] = g
	case len(grants) >= MaxGrants:
		return p, invalid("revoke one that is not needed any more", "a dataset has at most %d grants", MaxGrants)
	default:
		grants = slices.Insert(grants, at, g)
	}
	p.grants = grants
	return p, nil
}

// Without takes back what a user was granted.
func (p Permissions) Without(user string) (Permissions, error) {
	at, found := p.find(user)
	if _, all := p.find(Everybody); all && user != Everybody {
		// PRIVACY: the owner wants that user out, and would think them out.
		return p, invalid("revoke what everybody may first, then grant to those who shall stay", "everybody was granted this dataset, so that user too")
	}
	if !found {
		return p, refusal.New(refusal.NotFound, "look at the dataset's permissions", "this dataset was not granted to %s", nameOf(user))
	}
	p.grants = slices.Delete(slices.Clone(p.grants), at, at+1)
	return p, nil
}

// CheckHolds refuses a grant that permits its user less than everybody may.
// PRIVACY: that user would still have all that everybody has, and the owner think them held to less.
func (p Permissions) CheckHolds(g Grant) error {
	at, all := p.find(Everybody)
	if !all || g.User == Everybody {
		return nil
	}
	if may := p.grants[at]; may.Train && !g.Train || may.Test && !g.Test || may.TakeHome && !g.TakeHome {
		return invalid("grant less to everybody first, or revoke it", "everybody was granted more on this dataset than %s would be, so that user too", g.User)
	}
	return nil
}

// Of is what a user may, by a grant of their own and by what everybody may; known says whether there is either.
func (p Permissions) Of(user string) (may Grant, known bool) {
	may.User = user
	for _, name := range []string{Everybody, user} {
		if at, found := p.find(name); found {
			g := p.grants[at]
			may.Train, may.Test, may.TakeHome = may.Train || g.Train, may.Test || g.Test, may.TakeHome || g.TakeHome
			may.Epsilon, known = g.Epsilon, true
		}
	}
	return may, known
}

func (p Permissions) find(user string) (at int, found bool) {
	return slices.BinarySearchFunc(p.grants, user, func(g Grant, user string) int { return strings.Compare(g.User, user) })
}

func nameOf(user string) string {
	if user == Everybody {
		return "everybody"
	}
	return user
}

func invalid(next, format string, args ...any) error {
	return refusal.New(refusal.InvalidArgument, next, format, args...)
}
