package permission

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

var update = flag.Bool("update", false, "write docs/permissions.md anew")

func everyMethod() []string {
	var methods []string
	protoregistry.GlobalFiles.RangeFilesByPackage("bastionlab.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				methods = append(methods, fmt.Sprintf("/%s/%s", service.FullName(), service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	return methods
}

// A method that is added to the protocol without a row fails here, and is called by nobody.
func TestEveryMethodOfTheProtocolHasARow(t *testing.T) {
	seen := map[string]bool{}
	for _, method := range everyMethod() {
		seen[method] = true
		row, known := byMethod[method]
		if !known {
			t.Errorf("%s has no row", method)
		}
		if !row.Open && row.Roles == none {
			t.Errorf("nobody may call %s", method)
		}
	}
	if len(seen) < 30 || len(rows) != len(seen) || len(byMethod) != len(rows) {
		t.Errorf("%d methods, %d rows, %d of them different", len(seen), len(rows), len(byMethod))
	}
	const unknown = "/bastionlab.v1.TrainingService/ReadRecords"
	if IsOpen(unknown) || Knows(unknown) || OnSocket(unknown) == nil || ByRole(unknown, all) == nil {
		t.Error("a method without a row is called")
	}
}

// The machine's operator may on the socket what an operator may over the network, and nobody else's things.
func TestAnOperatorMayTheSameEverywhereAndHasNothingOfOthers(t *testing.T) {
	for _, row := range Table() {
		if row.Socket != row.Roles.Has(Operator) {
			t.Errorf("%s: on the socket %t, over the network %t", row.Method, row.Socket, row.Roles.Has(Operator))
		}
		if row.Roles.Has(Operator) {
			for _, word := range []string{"Upload", "Plan", "Start", "Weights", "Approve", "Deny", "Receipts", "Grant", "RevokeAccess", "Lower", "Delete"} {
				if strings.Contains(row.Method, word) {
					t.Errorf("an operator may call %s", row.Method)
				}
			}
		}
		if (row.Open || row.Needs == Nothing) && row.Open == (row.Roles != none) {
			t.Errorf("%s is open to all, or to roles", row.Method)
		}
	}
}

func TestARefusalByRoleSaysWhichRole(t *testing.T) {
	for method, words := range map[string]string{
		"/bastionlab.v1.TrainingService/StartTraining": "needs the role scientist, and yours is owner",
		"/bastionlab.v1.TrainingService/CancelRun":     "needs the role scientist or operator",
		"/bastionlab.v1.UserService/AddUser":           "needs the role operator",
	} {
		if err := ByRole(method, Owner); refusal.KindOf(err) != refusal.PermissionDenied || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

const documentPath = "../../../docs/permissions.md"

func TestTheDocumentIsPrintedFromTheTable(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(documentPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(documentPath)
	if err != nil || string(got) != want {
		t.Errorf("docs/permissions.md is not what the table says (%v): go test ./internal/permission -update", err)
	}
}

// callers and relations are the columns and the sections of the document.
var callers = []struct {
	name  string
	roles Roles
}{{"owner", Owner}, {"scientist", Scientist}, {"operator", Operator}}

var relations = []struct {
	name     string
	relation Relation
}{
	{"own", Relation{Owner: true, Author: true}},
	{"own, another's run", Relation{Owner: true}},
	{"granted all", Relation{Granted: &Grant{Train: true, Test: true, TakeHome: true}, Author: true}},
	{"granted to see", Relation{Granted: &Grant{}, Author: true}},
	{"foreign", Relation{}},
	{"own, deleted", Relation{Owner: true, Author: true, Deleted: true}},
	{"granted, deleted", Relation{Granted: &Grant{Train: true, Test: true, TakeHome: true}, Author: true, Deleted: true}},
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Who may do what

Printed from the table in ` + "`server/internal/permission`" + ` by ` + "`go test ./internal/permission -update`" + `. A call of the protocol without a row here fails the tests, and may be made by nobody.
In development mode every key is owner and scientist. On the socket in its data directory a server takes its machine's operator for one with the role operator.

## Roles

| call | owner | scientist | operator | on the socket | and the caller must be, or may |
|---|---|---|---|---|---|
`)
	mark := map[bool]string{true: "yes", false: "-"}
	for _, row := range Table() {
		if row.Open {
			fmt.Fprintf(&b, "| %s | without a token | without a token | without a token | - | - |\n", nameOfMethod(row.Method))
			continue
		}
		fmt.Fprintf(&b, "| %s |", nameOfMethod(row.Method))
		for _, caller := range callers {
			fmt.Fprintf(&b, " %s |", mark[row.Roles.Has(caller.roles)])
		}
		fmt.Fprintf(&b, " %s | %s |\n", mark[row.Socket], row.Needs)
	}
	b.WriteString(`
Receipts are asked for by dataset, or by run: then by its author or the owner of the dataset.

## What comes of it

For a caller with one role, by how they stand to the dataset, and to a run on it: theirs where the dataset is their own or was granted to them, another's where it is foreign.
*denied* says what is missing; *hidden* is the answer that there is no such thing, in the same words as where there never was.

`)
	for _, caller := range callers {
		fmt.Fprintf(&b, "### %s\n\n| call |", caller.name)
		for _, r := range relations {
			fmt.Fprintf(&b, " %s |", r.name)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(relations)) + "\n")
		for _, row := range Table() {
			if row.Needs == Nothing || !row.Roles.Has(caller.roles) {
				continue
			}
			fmt.Fprintf(&b, "| %s |", nameOfMethod(row.Method))
			for _, r := range relations {
				fmt.Fprintf(&b, " %s |", row.Of(caller.roles, r.relation))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	b.WriteString(`## Datasets

- The owner says who may see a dataset, train on it, test on it and take the weights home, and up to which eps in all. To be granted anything is to see it; what everybody was granted adds to a user's own grant, and one of less is refused. Nobody, the owner included, downloads records.
- A dataset whose owner said nothing is its owner's alone; one that was uploaded in development mode is everybody's who may sign in,
  also after that mode was closed, until its owner revokes what everybody may.
- A test set has the permissions of its training set, and is granted with it.
- The eps of a grant is a limit of that scientist in the ledger, on the account of the dataset and of its test set. It can only be lowered, and outlives the grant.
- What is taken back is taken back at once: unfinished runs that nobody may do any more end (charged, if they had the data), and their weights stay. Weights that went through several datasets go home where each of
  them permits it, and are tested, or gone on with, on one of them or elsewhere, where each of the others does.
- The unfinished runs of a user who is revoked end too; what the user owns stays.
- ` + "`constant_time`" + ` of the permissions refuses runs of others that take no constant time.
- Runs of others compute on a GPU ([gpu](gpu.md)) only where ` + "`gpu`" + ` of the permissions says so: no evidence speaks of a GPU's memory. Silence permits none, in development mode neither.
- ` + "`constant_time` and `gpu`" + ` are said with the upload; grants leave them as they are. Who wants them otherwise deletes the dataset and uploads its records again: what was spent of their budget stays spent.
- A deleted dataset is one that never was, but for its owner, who still sees what it cost, and receipts.
`)
	return b.String()
}

func nameOfMethod(method string) string {
	return strings.ReplaceAll(strings.TrimPrefix(method, "/bastionlab.v1."), "/", ".")
}
