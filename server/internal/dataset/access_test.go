package dataset

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

var hospital, ada, bob = strings.Repeat("0", 64), strings.Repeat("ad", 32), strings.Repeat("b0", 32)

type grant = bastionlabv1.Grant

// realSite is one that is not in development mode.
func realSite(t *testing.T) *site {
	s := openSite(t, t.TempDir())
	s.real = true
	return s
}

func permitting(header *bastionlabv1.UploadDatasetHeader, grants ...*grant) *bastionlabv1.UploadDatasetHeader {
	header.Permissions = &bastionlabv1.Permissions{Grants: grants}
	return header
}

func (s *site) mustGrant(t *testing.T, id string, g *grant) *bastionlabv1.Dataset {
	t.Helper()
	d, err := s.catalogue.Grant(t.Context(), hospital, id, g)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// boundOn is what the ledger holds a scientist to.
func (s *site) boundOn(t *testing.T, id, user string) int64 {
	t.Helper()
	account, err := s.ledger.Account(id)
	if err != nil {
		t.Fatal(err)
	}
	return int64(account.Scientists[user])
}

// SECURITY: what somebody may not see is told in the words of what never was, by every call.
func TestWhatMayNotBeSeenIsNotThere(t *testing.T) {
	s := realSite(t)
	hidden, none := s.mustUpload(t, hospital, smsHeader(10)).GetId(), strings.Repeat("f", 32)
	deleted := s.mustUpload(t, hospital, smsHeader(10)).GetId()
	if err := s.catalogue.Delete(t.Context(), hospital, deleted); err != nil {
		t.Fatal(err)
	}
	header := func(id string) *bastionlabv1.UploadDatasetHeader {
		h := smsHeader(10)
		h.TestOf = id
		return h
	}
	ctx := t.Context()
	for name, call := range map[string]func(user, id string) error{
		"get":    func(user, id string) error { _, err := s.catalogue.Get(ctx, user, id); return err },
		"budget": func(user, id string) error { _, err := s.catalogue.Budget(ctx, user, id); return err },
		"train": func(user, id string) error {
			_, err := s.catalogue.Permitted(ctx, user, id, permission.Wish{Action: permission.Train})
			return err
		},
		"limit":    func(user, id string) error { _, err := s.catalogue.LowerLimit(ctx, user, id, 1, ""); return err },
		"delete":   func(user, id string) error { return s.catalogue.Delete(ctx, user, id) },
		"grant":    func(user, id string) error { _, err := s.catalogue.Grant(ctx, user, id, &grant{User: bob}); return err },
		"revoke":   func(user, id string) error { _, err := s.catalogue.Revoke(ctx, user, id, bob); return err },
		"receipts": func(user, id string) error { _, _, err := s.catalogue.Receipts(ctx, user, id, 0); return err },
		"a test set of it": func(user, id string) error {
			_, err := s.catalogue.Begin(ctx, user, header(id))
			return err
		},
	} {
		absent := call(ada, none)
		if refusal.KindOf(absent) != refusal.NotFound {
			t.Errorf("%s of what never was: %v", name, absent)
		}
		for what, id := range map[string]string{"hidden": hidden, "deleted": deleted} {
			if err := call(ada, id); err == nil || err.Error() != absent.Error() || refusal.KindOf(err) != refusal.NotFound {
				t.Errorf("%s of what is %s: %v", name, what, err)
			}
		}
	}
	if list, err := s.catalogue.List(ctx, ada); err != nil || len(list) != 0 {
		t.Errorf("listed %v, %v", list, err)
	}
	if list, err := s.catalogue.List(ctx, "operator"); err != nil || len(list) != 1 || list[0].GetId() != hidden || list[0].GetPermissions() != nil {
		t.Errorf("to the operator: %v, %v", list, err)
	}
	if _, err := s.catalogue.Permitted(ctx, "operator", hidden, permission.Wish{Action: permission.Train}); refusal.KindOf(err) != refusal.PermissionDenied {
		t.Errorf("the operator trains: %v", err)
	}
}

func TestSilenceIsTheModesAndAWordIsTheOwners(t *testing.T) {
	s := openSite(t, t.TempDir())
	sees := func(user, id string) bool { _, err := s.catalogue.Get(t.Context(), user, id); return err == nil }
	open := s.mustUpload(t, hospital, smsHeader(10)).GetId()
	closed := s.mustUpload(t, hospital, permitting(smsHeader(10))).GetId()
	s.real = true
	silent := s.mustUpload(t, hospital, smsHeader(10)).GetId()
	said := s.mustUpload(t, hospital, permitting(smsHeader(10), &grant{User: ada, Test: true})).GetId()
	for name, test := range map[string]struct {
		id       string
		ada, bob bool
	}{"silence in development": {open, true, true}, "nobody, in development": {closed, false, false}, "silence": {silent, false, false}, "one": {said, true, false}} {
		if sees(ada, test.id) != test.ada || sees(bob, test.id) != test.bob || !sees(hospital, test.id) {
			t.Errorf("%s: ada sees %t, bob %t", name, sees(ada, test.id), sees(bob, test.id))
		}
	}
	if _, err := s.upload(t, hospital, permitting(smsHeader(10), &grant{User: "everybody"})); refusal.KindOf(err) != refusal.InvalidArgument {
		t.Errorf("permissions that are none: %v", err)
	}
}

// PRIVACY: an upload that is cut can go on after the first user was registered: what silence permitted before, it does not then.
func TestSilenceIsJudgedWhenTheDatasetIsThere(t *testing.T) {
	s := openSite(t, t.TempDir())
	u, err := s.catalogue.Begin(t.Context(), hospital, smsHeader(4))
	if err != nil {
		t.Fatal(err)
	}
	b := batch(t, 0, 4)
	if err := u.Add(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s.real = true
	answer, err := u.Finish(t.Context(), trailerOf(4, b))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.catalogue.Get(t.Context(), ada, answer.GetDataset().GetId()); refusal.KindOf(err) != refusal.NotFound {
		t.Errorf("ada sees it: %v", err)
	}
	if told := answer.GetDataset().GetPermissions().GetGrants(); len(told) != 0 {
		t.Errorf("the owner is told %v", told)
	}
}

// PRIVACY: a grant of less than everybody has would hold nobody to less.
func TestNobodyIsGrantedLessThanEverybodyHas(t *testing.T) {
	s := realSite(t)
	everybody, less := &grant{Train: true, TakeHome: true}, &grant{User: ada, Train: true}
	_, err := s.upload(t, hospital, permitting(smsHeader(10), everybody, less))
	wantRefusal(t, err, refusal.InvalidArgument, "everybody was granted more", "grant less to everybody first")
	id := s.mustUpload(t, hospital, permitting(smsHeader(10), everybody)).GetId()
	_, err = s.catalogue.Grant(t.Context(), hospital, id, less)
	wantRefusal(t, err, refusal.InvalidArgument, "everybody was granted more", "grant less to everybody first")
	s.mustGrant(t, id, &grant{Train: true})
	s.mustGrant(t, id, less)
	s.mustGrant(t, id, everybody) // which is to give ada more too
}

func TestTheOwnerIsToldWhatOthersMayAndTheyWhatThemselves(t *testing.T) {
	s := realSite(t)
	id := s.mustUpload(t, hospital, permitting(smsHeader(10), &grant{User: ada, Train: true, EpsilonNano: proto.Int64(2e9)}, &grant{User: bob, TakeHome: true})).GetId()
	get := func(user string) *bastionlabv1.Dataset {
		t.Helper()
		d, err := s.catalogue.Get(t.Context(), user, id)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if mine := get(hospital); len(mine.GetPermissions().GetGrants()) != 2 || mine.GetPermissions().GetGrants()[0].GetEpsilonNano() != 2e9 || !mine.GetMay().GetTakeHome() {
		t.Errorf("to its owner: %v", mine)
	}
	want := &grant{User: ada, Train: true, EpsilonNano: proto.Int64(2e9)}
	if d := get(ada); d.GetPermissions() != nil || !proto.Equal(d.GetMay(), want) {
		t.Errorf("to ada: %v", d)
	}
	if d := get("operator"); d.GetPermissions() != nil || d.GetMay().GetTrain() {
		t.Errorf("to the operator: %v", d)
	}
	list, err := s.catalogue.List(t.Context(), ada)
	if err != nil || len(list) != 1 || !proto.Equal(list[0].GetMay(), want) {
		t.Errorf("listed to ada: %v, %v", list, err)
	}
}

func TestATestSetHasItsTrainingSetsPermissions(t *testing.T) {
	s := realSite(t)
	given := []*grant{{User: ada, Test: true, EpsilonNano: proto.Int64(2e9)}}
	training := s.mustUpload(t, hospital, permitting(smsHeader(10), given...)).GetId()
	header := smsHeader(10)
	header.TestOf, header.PrivacyLimit = training, nil
	other := proto.CloneOf(header)
	other.Permissions = &bastionlabv1.Permissions{}
	_, err := s.upload(t, hospital, other)
	wantRefusal(t, err, refusal.InvalidArgument, "permissions of its training set", "leave permissions out")
	test := s.mustUpload(t, hospital, permitting(header, given...)).GetId()
	if s.boundOn(t, test, ada) != 2e9 {
		t.Errorf("ada's bound there is %d", s.boundOn(t, test, ada))
	}
	may := func(user string) bool {
		_, err := s.catalogue.Permitted(t.Context(), user, test, permission.Wish{Action: permission.Test})
		return err == nil
	}
	if !may(ada) || may(bob) {
		t.Errorf("ada tests %t, bob %t", may(ada), may(bob))
	}
	_, err = s.catalogue.Grant(t.Context(), hospital, test, &grant{User: bob})
	wantRefusal(t, err, refusal.InvalidArgument, "a test set has the permissions", "name its training set, "+training)
	_, err = s.catalogue.Revoke(t.Context(), hospital, test, ada)
	wantRefusal(t, err, refusal.InvalidArgument, "a test set has the permissions", training)
	s.mustGrant(t, training, &grant{User: bob, Test: true, EpsilonNano: proto.Int64(1e9)})
	if !may(bob) || s.boundOn(t, test, bob) != 1e9 || s.boundOn(t, training, bob) != 1e9 {
		t.Errorf("bob tests %t, up to %d there and %d here", may(bob), s.boundOn(t, test, bob), s.boundOn(t, training, bob))
	}
	if _, err := s.catalogue.Revoke(t.Context(), hospital, training, ada); err != nil || may(ada) {
		t.Errorf("ada tests %t, %v", may(ada), err)
	}
}

// PRIVACY: a bound outlives its grant, on a test set that comes later too: who is granted again without a word of eps has no more there.
func TestATestSetHasTheBoundsOfGrantsThatAreOver(t *testing.T) {
	s := realSite(t)
	training := s.mustUpload(t, hospital, permitting(smsHeader(10), &grant{User: ada, Test: true, EpsilonNano: proto.Int64(2e9)})).GetId()
	if _, err := s.catalogue.Revoke(t.Context(), hospital, training, ada); err != nil {
		t.Fatal(err)
	}
	header := smsHeader(10)
	header.TestOf, header.PrivacyLimit = training, nil
	test := s.mustUpload(t, hospital, header).GetId()
	s.mustGrant(t, training, &grant{User: ada, Test: true})
	if s.boundOn(t, training, ada) != 2e9 || s.boundOn(t, test, ada) != 2e9 {
		t.Errorf("ada is held to %d, and to %d on the test set", s.boundOn(t, training, ada), s.boundOn(t, test, ada))
	}
}

// PRIVACY: the eps of a grant is the ledger's, which lowers only: a grant that says more must not look as if it gave more.
func TestTheBoundOfAGrantIsOnlyLowered(t *testing.T) {
	s := realSite(t)
	d := s.mustUpload(t, hospital, permitting(smsHeader(10), &grant{User: ada, Train: true, EpsilonNano: proto.Int64(3e9)}))
	id := d.GetId()
	if s.boundOn(t, id, ada) != 3e9 {
		t.Fatalf("the bound is %d", s.boundOn(t, id, ada))
	}
	s.mustGrant(t, id, &grant{User: ada, Train: true, EpsilonNano: proto.Int64(2e9)})
	_, err := s.catalogue.Grant(t.Context(), hospital, id, &grant{User: ada, Train: true, Test: true, EpsilonNano: proto.Int64(5e9)})
	wantRefusal(t, err, refusal.InvalidArgument, "can only be lowered: it is 2", "at most 2")
	if now, err := s.catalogue.Get(t.Context(), ada, id); err != nil || now.GetMay().GetTest() || now.GetMay().GetEpsilonNano() != 2e9 {
		t.Errorf("a refused grant left %v, %v", now.GetMay(), err)
	}
	again := s.mustGrant(t, id, &grant{User: ada, Train: true, Test: true}) // says nothing of it: the bound stays, and is told
	if got := again.GetPermissions().GetGrants()[0]; got.GetEpsilonNano() != 2e9 || !got.GetTest() || s.boundOn(t, id, ada) != 2e9 {
		t.Errorf("granted again: %v", got)
	}
	if _, err := s.catalogue.Revoke(t.Context(), hospital, id, ada); err != nil || s.boundOn(t, id, ada) != 2e9 {
		t.Errorf("the bound is gone with the grant: %v", err)
	}
	// The same records again: their account holds ada to 2, whatever the header says.
	joined := s.mustUpload(t, hospital, permitting(smsHeader(10), &grant{User: ada, Train: true, EpsilonNano: proto.Int64(9e9)}))
	if got := joined.GetPermissions().GetGrants()[0]; got.GetEpsilonNano() != 2e9 {
		t.Errorf("the owner is told %v", got)
	}
}

// SECURITY: a user has one name. A limit of the same name in capitals would hold nobody, and its owner think it did.
func TestALimitIsOfAUserThereCanBe(t *testing.T) {
	s := realSite(t)
	id := s.mustUpload(t, hospital, smsHeader(10)).GetId()
	for _, name := range []string{strings.ToUpper(ada), ada[:62], ada + "00", "ada"} {
		_, err := s.catalogue.LowerLimit(t.Context(), hospital, id, 1, name)
		wantRefusal(t, err, refusal.InvalidArgument, "names no scientist")
	}
	if _, err := s.catalogue.LowerLimit(t.Context(), hospital, id, 1, ada); err != nil || s.boundOn(t, id, ada) != 1e9 {
		t.Errorf("ada is held to %d, %v", s.boundOn(t, id, ada), err)
	}
}

func TestPermissionsSurviveARestartAndAnUploadsReceiptIsOfItsAccount(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	s.real = true
	u, err := s.catalogue.Begin(t.Context(), hospital, permitting(smsHeader(4), &grant{User: ada, Train: true, EpsilonNano: proto.Int64(1e9)}))
	if err != nil {
		t.Fatal(err)
	}
	b := batch(t, 0, 4)
	if err := u.Add(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	answer, err := u.Finish(t.Context(), trailerOf(4, b))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := receipt.Decode(answer.GetReceipts()[0].GetBody()); err != nil || opened.Type != receipt.Open {
		t.Errorf("the receipt is of %v, %v", opened.Type, err)
	}
	id := answer.GetDataset().GetId()
	s.mustGrant(t, id, &grant{User: bob, Test: true})
	s.close()
	s = openSite(t, dir)
	s.real = true
	for user, want := range map[string]bool{ada: true, bob: true, strings.Repeat("c", 64): false} {
		if _, err := s.catalogue.Get(t.Context(), user, id); (err == nil) != want {
			t.Errorf("%.4s sees it: %v", user, err)
		}
	}
}

// PRIVACY: what others are held to and what they did with another dataset on the account is told to its owner alone.
func TestAScientistIsToldOfTheAccountWhatConcernsThem(t *testing.T) {
	s := realSite(t)
	grants := []*grant{{User: ada, Train: true, EpsilonNano: proto.Int64(3e9)}, {User: bob, Train: true, EpsilonNano: proto.Int64(1e9)}}
	first := s.mustUpload(t, hospital, permitting(smsHeader(10), grants...)).GetId()
	second := s.mustUpload(t, hospital, permitting(smsHeader(10), grants...)).GetId() // the same records: one account
	if err := s.reserve(first, "of a third", 1e9, 0); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]struct{ scientists, runs, datasets int }{hospital: {2, 1, 2}, ada: {1, 0, 0}, bob: {1, 0, 0}, "operator": {0, 0, 0}} {
		told, err := s.catalogue.Budget(t.Context(), user, second)
		if err != nil {
			t.Fatal(err)
		}
		if len(told.GetScientists()) != want.scientists || len(told.GetRuns()) != want.runs || len(told.GetDatasets()) != want.datasets || told.GetSpentNano() == 0 {
			t.Errorf("%.4s is told %v", user, told)
		}
		if user != hospital && len(told.GetScientists()) == 1 && told.GetScientists()[0].GetScientist() != user {
			t.Errorf("%.4s is told of another: %v", user, told)
		}
	}
}
