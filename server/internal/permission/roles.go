package permission

import (
	"strings"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// Roles is a set of roles.
type Roles uint8

// The roles there are. They are kept in the database as these numbers: never renumber.
const (
	Owner     Roles = 1 << iota // uploads datasets and decides about them
	Scientist                   // trains on what owners grant
	Operator                    // runs the machine, and reads nothing that is trained on it

	none Roles = 0
	all        = Owner | Scientist | Operator
)

// OfDevelopment is what every key is in development mode.
const OfDevelopment = Owner | Scientist

var roleNames = []struct {
	role Roles
	name string
	sent bastionlabv1.Role
}{
	{Owner, "owner", bastionlabv1.Role_ROLE_OWNER},
	{Scientist, "scientist", bastionlabv1.Role_ROLE_SCIENTIST},
	{Operator, "operator", bastionlabv1.Role_ROLE_OPERATOR},
}

// RolesFromProto judges the roles that an operator gives to a user.
func RolesFromProto(sent []bastionlabv1.Role) (Roles, error) {
	roles := none
	for _, one := range sent {
		given := none
		for _, known := range roleNames {
			if known.sent == one {
				given = known.role
			}
		}
		if given == none {
			return none, invalid("give owner, scientist or operator", "%d is no role", one)
		}
		roles |= given
	}
	if roles == none {
		return none, invalid("give one or more of owner, scientist and operator", "a user needs a role")
	}
	return roles, nil
}

// RoleNamed finds a role by its name.
func RoleNamed(name string) (Roles, error) {
	for _, known := range roleNames {
		if known.name == name {
			return known.role, nil
		}
	}
	return none, invalid("give owner, scientist or operator", "%.40q is no role", name)
}

// Proto is how roles travel.
func (r Roles) Proto() (sent []bastionlabv1.Role) {
	for _, known := range roleNames {
		if r.Has(known.role) {
			sent = append(sent, known.sent)
		}
	}
	return sent
}

// Has says whether one of some roles is among these.
func (r Roles) Has(one Roles) bool { return r&one != 0 }

// Valid says whether these are roles, and at least one.
func (r Roles) Valid() bool { return r != none && r&^all == 0 }

func (r Roles) String() string {
	var names []string
	for _, known := range roleNames {
		if r.Has(known.role) {
			names = append(names, known.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// either names roles of which one is needed.
func (r Roles) either() string { return strings.ReplaceAll(r.String(), ", ", " or ") }
