package main

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
)

// scene is a server on which somebody, the subject, stands in some relation to a dataset and to a completed run on it.
type scene struct {
	t        *testing.T
	n        *node
	operator *person // on the socket
	subject  *person
	relation permission.Relation
	dataset  string
	run      string
	model    string // of the subject's own, for datasets of this schema
}

// onSocket is the machine's operator.
func onSocket(t *testing.T, n *node) *person {
	t.Helper()
	socket, err := openLocalSocket(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:operator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return socket.dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); socket.directory.Close() })
	return &person{t: t, conn: conn, seen: &seen{}}
}

// register makes a key one of a registered user.
func register(t *testing.T, operator *person, key []byte, roles permission.Roles) string {
	t.Helper()
	user, err := bastionlabv1.NewUserServiceClient(operator.conn).AddUser(operator.ctx(), &bastionlabv1.AddUserRequest{PublicKey: key, Roles: roles.Proto()})
	if err != nil {
		t.Fatal(err)
	}
	return user.GetId()
}

// registered is somebody who was registered, and has signed in.
func registered(t *testing.T, n *node, operator *person, roles permission.Roles) *person {
	t.Helper()
	key := newKey(t)
	register(t, operator, publicKeyOf(t, key), roles)
	return connect(t, n.address, key)
}

func (p *person) uploadTo(name string, grants ...*bastionlabv1.Grant) string {
	p.t.Helper()
	sent := parts(name, 6, "")
	sent[0].GetHeader().Permissions = &bastionlabv1.Permissions{Grants: grants}
	d, trailer, err := p.sendDataset(sent)
	if err != nil {
		p.t.Fatal(err, refused(trailer))
	}
	return d.GetId()
}

func (p *person) trained(model, dataset string) string {
	p.t.Helper()
	return p.wait(p.start(request(model, dataset, 0.5)).GetId()).GetId()
}

// newScene makes the subject owner and scientist until all is in place: what they may do by it, the table says.
func newScene(t *testing.T, n *node, r permission.Relation) *scene {
	t.Helper()
	s := &scene{t: t, n: n, operator: onSocket(t, n), relation: r}
	both := permission.Owner | permission.Scientist
	s.subject = registered(t, n, s.operator, both)
	other, author := registered(t, n, s.operator, both), registered(t, n, s.operator, both)
	s.model = s.subject.uploadModel(s.subject.uploadTo("a place to send a model for"))
	everything := func(p *person) *bastionlabv1.Grant {
		return &bastionlabv1.Grant{User: p.user, Train: true, Test: true, TakeHome: true}
	}
	owner := other
	if r.Owner {
		owner = s.subject
	}
	grants := []*bastionlabv1.Grant{everything(author)}
	if r.Granted != nil {
		grants = append(grants, everything(s.subject))
	}
	s.dataset = owner.uploadTo("the dataset", grants...)
	if r.Author {
		s.run = s.subject.trained(s.model, s.dataset)
	} else {
		s.run = author.trained(author.uploadModel(s.dataset), s.dataset)
	}
	if r.Granted != nil {
		grant := r.Granted.Proto()
		grant.User = s.subject.user
		if _, err := owner.data().GrantAccess(owner.ctx(), &bastionlabv1.GrantAccessRequest{DatasetId: s.dataset, Grant: grant}); err != nil {
			t.Fatal(err)
		}
	}
	if r.Deleted {
		if _, err := owner.data().DeleteDataset(owner.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: s.dataset}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// unserved are in the protocol and not in this server. What is served later must leave this list.
var unserved []string

// comesOf is what a call's answer says of permissions. What it says of anything else - an argument, a run that does not wait - comes after them.
func comesOf(err error) permission.Outcome {
	switch status.Code(err) {
	case codes.NotFound:
		return permission.Hidden
	case codes.PermissionDenied:
		return permission.Denied
	case codes.Unauthenticated:
		return permission.SignInFirst
	}
	return permission.Allowed
}

// rowsOf are the rows with the calls that they are of, those that take something away last.
func rowsOf(t *testing.T) (names []string, rows map[string]permission.Row) {
	t.Helper()
	rows = map[string]permission.Row{}
	last := []string{}
	for _, row := range permission.Table() {
		name := strings.TrimPrefix(row.Method, "/bastionlab.v1.")
		if calls[name] == nil {
			t.Fatalf("this test does not know how to call %s", name)
		}
		rows[name] = row
		if strings.HasSuffix(name, "/DeleteDataset") {
			last = append(last, name)
		} else {
			names = append(names, name)
		}
	}
	rows[receiptsOfRun] = rows["LedgerService/ListReceipts"]
	byRun := rows[receiptsOfRun]
	byRun.Needs = permission.ToSeeReceipts
	rows[receiptsOfRun] = byRun
	return append(append(names, receiptsOfRun), last...), rows
}

// Every role, every call, every relation to a dataset: what a server does is what the table says, cell for cell.
func TestTheWholeMatrixOfPermissions(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	everything := &permission.Grant{Train: true, Test: true, TakeHome: true}
	names, rows := rowsOf(t)
	cells := 0
	for name, relation := range map[string]permission.Relation{
		"own":                {Owner: true, Author: true},
		"own, another's run": {Owner: true},
		"granted":            {Granted: everything, Author: true},
		"granted to train":   {Granted: &permission.Grant{Train: true}, Author: true},
		"granted to test":    {Granted: &permission.Grant{Test: true}, Author: true},
		"granted to see":     {Granted: &permission.Grant{}, Author: true},
		"foreign":            {},
		"own, deleted":       {Owner: true, Author: true, Deleted: true},
		"granted, deleted":   {Granted: everything, Author: true, Deleted: true},
		"foreign, deleted":   {Deleted: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, n, relation)
			check := func(who, call string, p *person, want permission.Outcome) {
				cells++
				err := calls[call](s, p)
				got := comesOf(err)
				if status.Code(err) == codes.FailedPrecondition { // there is no such method
					if p == s.operator && want == permission.Denied || slices.Contains(unserved, call) {
						return
					}
					t.Errorf("%s as %s: it is not served", call, who)
				}
				if got != want {
					t.Errorf("%s as %s: %s, want %s (%v)", call, who, got, want, err)
				} else if slices.Contains(unserved, call) && want == permission.Allowed {
					t.Errorf("%s is served, and is still listed as if it were not", call)
				}
			}
			nobody := &person{t: t, conn: s.subject.conn, key: s.subject.key, seen: &seen{}}
			for _, call := range names {
				want := permission.SignInFirst
				if rows[call].Open {
					want = permission.Allowed
				}
				check("nobody", call, nobody, want)
				// On the socket nobody is an author or an owner, and nothing is granted.
				check("the machine's operator", call, s.operator, rows[call].OnSocket(permission.Relation{Deleted: relation.Deleted}))
			}
			for _, roles := range []permission.Roles{permission.Operator, permission.Scientist, permission.Operator | permission.Scientist, permission.Owner} {
				register(t, s.operator, publicKeyOf(t, s.subject.key), roles)
				for _, call := range names {
					check(roles.String(), call, s.subject, rows[call].Of(roles, relation))
				}
			}
		})
	}
	t.Logf("%d cells", cells)
}

// SECURITY: what is hidden is told in the very words of what never was.
func TestWhatIsHiddenReadsLikeWhatNeverWas(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	s := newScene(t, n, permission.Relation{})
	absent := *s
	absent.dataset, absent.run = strings.Repeat("0", 32), strings.Repeat("0", 32)
	compared := 0
	for name, call := range calls {
		err := call(s, s.subject)
		if comesOf(err) != permission.Hidden {
			continue
		}
		compared++
		if other := call(&absent, s.subject); other == nil || other.Error() != err.Error() {
			t.Errorf("%s: %v, and of what never was %v", name, err, other)
		}
	}
	if compared < 15 {
		t.Errorf("only %d calls were compared", compared)
	}
}
