package permission

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

var owner, alice, bob = strings.Repeat("0", 64), strings.Repeat("a1", 32), strings.Repeat("b0", 32)

type sent = bastionlabv1.Grant

func of(grants ...*sent) *bastionlabv1.Permissions { return &bastionlabv1.Permissions{Grants: grants} }

func wantInvalid(t *testing.T, err error, words string) {
	t.Helper()
	if refusal.KindOf(err) != refusal.InvalidArgument || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want %q", err, words)
	}
}

func TestWhatAnOwnerMaySay(t *testing.T) {
	eps := func(nano int64) *int64 { return &nano }
	many := of()
	for i := range MaxGrants + 1 {
		many.Grants = append(many.Grants, &sent{User: userNumber(i)})
	}
	for name, test := range map[string]struct {
		permissions *bastionlabv1.Permissions
		refused     string
	}{
		"nothing":                 {permissions: of()},
		"one":                     {permissions: of(&sent{User: alice, Train: true})},
		"one who may only look":   {permissions: of(&sent{User: alice})},
		"everybody and one":       {permissions: of(&sent{Train: true}, &sent{User: alice, TakeHome: true})},
		"with a bound":            {permissions: of(&sent{User: alice, Train: true, EpsilonNano: eps(1)})},
		"with the largest bound":  {permissions: of(&sent{User: alice, Train: true, EpsilonNano: eps(1e15)})},
		"as many as there can be": {permissions: of(many.GetGrants()[1:]...)},
		"one too many":            {many, "at most 1000"},
		"a bound of nothing":      {of(&sent{User: alice, EpsilonNano: eps(0)}), "eps of a grant"},
		"a bound below nothing":   {of(&sent{User: alice, EpsilonNano: eps(-1)}), "eps of a grant"},
		"a bound beyond numbers":  {of(&sent{User: alice, EpsilonNano: eps(1<<63 - 1)}), "eps of a grant"},
		"a bound for everybody":   {of(&sent{EpsilonNano: eps(1)}), "no eps of its own"},
		"one twice":               {of(&sent{User: alice}, &sent{User: bob}, &sent{User: alice, Train: true}), "twice"},
		"everybody twice":         {of(&sent{}, &sent{}), "twice to everybody"},
		"the owner":               {of(&sent{User: owner}), "its owner"},
		"a name":                  {of(&sent{User: "alice"}), "names no user"},
		"the operator":            {of(&sent{User: "operator"}), "names no user"},
		"another form of a name":  {of(&sent{User: strings.ToUpper(alice)}), "names no user"},
		"a name that is short":    {of(&sent{User: alice[2:]}), "names no user"},
		"a name with more":        {of(&sent{User: alice + "00"}), "names no user"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := FromProto(test.permissions, owner)
			if test.refused != "" {
				wantInvalid(t, err, test.refused)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := FromProto(p.Proto(), owner)
			if err != nil || !proto.Equal(again.Proto(), p.Proto()) || len(p.Grants()) != len(test.permissions.GetGrants()) {
				t.Errorf("it travels as %v, %v", p.Proto(), err)
			}
		})
	}
}

// userNumber is a user of the tests.
func userNumber(i int) string {
	const digits = "0123456789abcdef"
	return strings.Repeat("c", 60) + string([]byte{digits[i>>12&15], digits[i>>8&15], digits[i>>4&15], digits[i&15]})
}

func TestAGrantReplacesTheOneBeforeAndARevocationIsWhole(t *testing.T) {
	p := OwnerOnly()
	grant := func(g Grant) {
		t.Helper()
		var err error
		if p, err = p.With(g); err != nil {
			t.Fatal(err)
		}
	}
	grant(Grant{User: bob, Train: true, Test: true, Epsilon: 7})
	grant(Grant{User: alice, Train: true})
	before := p
	grant(Grant{User: bob, TakeHome: true})
	if may, known := p.Of(bob); !known || may.Train || may.Test || !may.TakeHome || may.Epsilon != 0 {
		t.Errorf("bob may %+v", may)
	}
	if may, _ := before.Of(bob); !may.Train || may.TakeHome {
		t.Errorf("what was there before is now %+v", may)
	}
	grant(Grant{Test: true})
	if may, _ := p.Of(bob); !may.Test || !may.TakeHome || may.Train {
		t.Errorf("with what everybody may, bob may %+v", may)
	}
	if may, known := p.Of(owner); !known || !may.Test || may.Train {
		t.Errorf("everybody may %+v", may)
	}
	// PRIVACY: bob would still be in, as one of everybody, and the owner think him out.
	_, err := p.Without(bob)
	wantInvalid(t, err, "everybody was granted this dataset")
	if p, err = p.Without(Everybody); err != nil {
		t.Fatal(err)
	}
	if p, err = p.Without(bob); err != nil {
		t.Fatal(err)
	}
	if _, known := p.Of(bob); known {
		t.Error("bob is in")
	}
	if _, known := p.Of(alice); !known {
		t.Error("alice is out")
	}
	if _, err = p.Without(bob); refusal.KindOf(err) != refusal.NotFound {
		t.Errorf("taken back twice: %v", err)
	}
	for i := 1; i < MaxGrants; i++ {
		grant(Grant{User: userNumber(i)})
	}
	_, err = p.With(Grant{User: bob})
	wantInvalid(t, err, "at most 1000")
	grant(Grant{User: alice}) // who has a place
}

// PRIVACY: who was granted less than everybody has what everybody has, and would be thought held to less.
func TestAGrantOfLessThanEverybodyHasIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		everybody, one Grant
		refused        bool
	}{
		"no training":        {Grant{Train: true}, Grant{Test: true, TakeHome: true}, true},
		"no tests":           {Grant{Test: true}, Grant{Train: true, TakeHome: true}, true},
		"no weights":         {Grant{Train: true, TakeHome: true}, Grant{Train: true, Test: true}, true},
		"as much":            {Grant{Train: true}, Grant{Train: true}, false},
		"more":               {Grant{}, Grant{Train: true}, false},
		"up to an eps":       {Grant{Train: true}, Grant{Train: true, Epsilon: 2}, false},
		"everybody has less": {Grant{Train: true, Test: true}, Grant{User: Everybody}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "everybody has less" {
				test.one.User = bob
			}
			p, err := OwnerOnly().With(test.everybody)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.CheckHolds(test.one); (err != nil) != test.refused {
				t.Errorf("got %v", err)
			}
			if err := OwnerOnly().CheckHolds(test.one); err != nil {
				t.Errorf("without everybody: %v", err)
			}
		})
	}
}

func TestWhoMayDoWhatWithADataset(t *testing.T) {
	grants := func(g ...*sent) *bastionlabv1.Permissions { return of(g...) }
	for name, test := range map[string]struct {
		user        string
		roles       Roles
		permissions *bastionlabv1.Permissions
		may         string // of See, Propose, Train, Test, TakeHome: y(es), n(o), or h(idden)
	}{
		"owner":                      {owner, Owner, grants(), "yyyyy"},
		"stranger":                   {alice, OfDevelopment, grants(), "hhhhh"},
		"operator":                   {alice, Operator, grants(), "ynnnn"},
		"one who may look":           {alice, Scientist, grants(&sent{User: alice}), "ynnnn"},
		"one who may train":          {alice, Scientist, grants(&sent{User: alice, Train: true}), "yyynn"},
		"one who may test":           {alice, Scientist, grants(&sent{User: alice, Test: true}), "ynnyn"},
		"one who may take home":      {alice, Scientist, grants(&sent{User: alice, TakeHome: true}), "ynnny"},
		"another's grant":            {bob, Scientist, grants(&sent{User: alice, Train: true}), "hhhhh"},
		"everybody":                  {bob, Scientist, grants(&sent{Train: true, Test: true, TakeHome: true}), "yyyyy"},
		"everybody and more for one": {bob, Scientist, grants(&sent{}, &sent{User: bob, Test: true}), "ynnyn"},
		"in constant time":           {bob, Scientist, &bastionlabv1.Permissions{ConstantTime: true, Grants: []*sent{{Train: true}}}, "yynnn"},
		"on a GPU or not":            {bob, Scientist, &bastionlabv1.Permissions{Gpu: true, Grants: []*sent{{Train: true}}}, "yyynn"},
		"its owner, in any":          {owner, Owner, &bastionlabv1.Permissions{ConstantTime: true}, "yyyyy"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := FromProto(test.permissions, owner)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for action := See; action <= TakeHome; action++ {
				hidden, err := May(test.user, test.roles, Wish{Action: action}, Dataset{owner, p})
				switch {
				case hidden:
					got += "h"
				case err == nil:
					got += "y"
				case refusal.KindOf(err) == refusal.PermissionDenied:
					got += "n"
				default:
					t.Error(err)
				}
			}
			if got != test.may {
				t.Errorf("got %s, want %s", got, test.may)
			}
		})
	}
	p := Permissions{grants: []Grant{{Train: true}}, constantTime: true}
	if _, err := May(bob, Scientist, Wish{Action: Train}, Dataset{owner, p}); err == nil || !strings.Contains(err.Error(), "constant_time") {
		t.Errorf("it is not named: %v", err)
	}
	if _, err := May(bob, Scientist, Wish{Action: Train, ConstantTime: true}, Dataset{owner, p}); err != nil {
		t.Errorf("a run in constant time: %v", err)
	}
}

// PRIVACY: no evidence speaks of a GPU's memory, and that records go there is the owner's to permit, run by run of none.
func TestRunsOfOthersOnAGPUAreTheOwnersToPermit(t *testing.T) {
	onGPU := Wish{Action: Train, GPU: true}
	silent := Permissions{grants: []Grant{{Train: true}}}
	permitting := Permissions{grants: []Grant{{Train: true}}, gpu: true}
	_, err := May(bob, Scientist, onGPU, Dataset{owner, silent})
	if refusal.KindOf(err) != refusal.PermissionDenied || !strings.Contains(err.Error(), "no runs on a GPU") {
		t.Errorf("where it was not permitted: %v", err)
	}
	for name, test := range map[string]struct {
		user        string
		wish        Wish
		permissions Permissions
	}{
		"where it was permitted":    {bob, onGPU, permitting},
		"its owner":                 {owner, onGPU, silent},
		"another's, on the CPU":     {bob, Wish{Action: Train}, silent},
		"on the CPU, as permitted":  {bob, Wish{Action: Train}, permitting},
		"its owner, with the right": {owner, onGPU, permitting},
	} {
		if hidden, err := May(test.user, Scientist, test.wish, Dataset{owner, test.permissions}); hidden || err != nil {
			t.Errorf("%s: %t, %v", name, hidden, err)
		}
	}
	both := Permissions{grants: []Grant{{Train: true}}, gpu: true, constantTime: true}
	if _, err := May(bob, Scientist, onGPU, Dataset{owner, both}); err == nil || !strings.Contains(err.Error(), "constant_time") {
		t.Errorf("on a GPU, without constant time: %v", err)
	}
}

// What is said of all runs outlives what is granted and taken back.
func TestGrantingChangesNothingElse(t *testing.T) {
	for _, said := range []*bastionlabv1.Permissions{{}, {Gpu: true}, {ConstantTime: true}, {Gpu: true, ConstantTime: true}} {
		p, err := FromProto(said, owner)
		if err != nil {
			t.Fatal(err)
		}
		granted, err := p.With(Grant{User: bob, Train: true})
		if err != nil {
			t.Fatal(err)
		}
		again, err := granted.With(Grant{User: bob})
		if err != nil {
			t.Fatal(err)
		}
		left, err := again.Without(bob)
		if err != nil {
			t.Fatal(err)
		}
		for _, after := range []Permissions{granted, again, left} {
			if sent := after.Proto(); sent.GetGpu() != said.GetGpu() || sent.GetConstantTime() != said.GetConstantTime() {
				t.Errorf("%v became %v", said, sent)
			}
		}
		if !proto.Equal(left.Proto(), said) {
			t.Errorf("%v became %v", said, left.Proto())
		}
	}
}

func TestSilencePermitsEverythingInDevelopmentAndNothingElse(t *testing.T) {
	if may, known := Default(true).Of(bob); !known || !may.Train || !may.Test || !may.TakeHome {
		t.Errorf("in development mode: %+v", may)
	}
	if may, known := Default(false).Of(bob); known {
		t.Errorf("else: %+v", may)
	}
	// PRIVACY: that mode ends and what was uploaded in it stays, and whoever runs the machine could then register somebody and read a GPU's memory.
	if Default(true).Proto().GetGpu() || Default(false).Proto().GetGpu() {
		t.Error("silence permits a GPU")
	}
}

func TestRolesHaveNamesAndAUserHasOne(t *testing.T) {
	for name, role := range map[string]Roles{"owner": Owner, "scientist": Scientist, "operator": Operator} {
		if got, err := RoleNamed(name); err != nil || got != role || role.String() != name {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
	_, err := RoleNamed("root")
	wantInvalid(t, err, "no role")
	given, err := RolesFromProto([]bastionlabv1.Role{bastionlabv1.Role_ROLE_SCIENTIST, bastionlabv1.Role_ROLE_OWNER, bastionlabv1.Role_ROLE_OWNER})
	if err != nil || given != OfDevelopment || given.String() != "owner, scientist" || len(given.Proto()) != 2 {
		t.Errorf("%s, %v", given, err)
	}
	for _, wrong := range [][]bastionlabv1.Role{nil, {0}, {7}, {1, 0}, {-1}} {
		if _, err := RolesFromProto(wrong); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if Roles(0).Valid() || Roles(8).Valid() || !all.Valid() {
		t.Error("what is a role")
	}
}
