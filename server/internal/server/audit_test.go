package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/audit"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// fakeAudit keeps entries in memory.
type fakeAudit struct {
	mu                   sync.Mutex
	entries              []audit.Entry
	changes              []bool
	open                 int // begun and not ended
	beginFails, notFails error
	held                 chan struct{} // not nil: a change is not on disk before it is closed
}

func (f *fakeAudit) Begin() (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.beginFails != nil {
		return nil, f.beginFails
	}
	f.open++
	return func() { f.mu.Lock(); defer f.mu.Unlock(); f.open-- }, nil
}

func (f *fakeAudit) Record(entry audit.Entry, change bool) error {
	f.mu.Lock()
	f.entries, f.changes = append(f.entries, entry), append(f.changes, change)
	held := f.held
	f.mu.Unlock()
	if held != nil && change {
		<-held
	}
	return f.notFails
}

func (f *fakeAudit) List(_ context.Context, user, dataset string, after int64, most int) ([]audit.Line, bool, error) {
	return []audit.Line{{Seq: after + 1, UnixMS: int64(most), Entry: audit.Entry{
		User: user, Action: "a", Dataset: dataset, Run: "r", Allowed: true, Reason: "w", Binding: "key", Boot: "b", Subject: "s",
	}}}, true, nil
}

func (f *fakeAudit) last(t *testing.T) (audit.Entry, bool) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.entries) != 1 {
		t.Fatalf("%d entries: %+v", len(f.entries), f.entries)
	}
	return f.entries[0], f.changes[0]
}

// protocolMethods are all methods of the protocol, also of services that this server does not offer.
func protocolMethods() (methods []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFilesByPackage("bastionlab.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			of := file.Services().Get(i).Methods()
			for j := range of.Len() {
				methods = append(methods, of.Get(j))
			}
		}
		return true
	})
	return methods
}

func fullName(method protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
}

// A new method is decided about, and counts as a change before.
func TestEveryMethodIsNotedAsSomething(t *testing.T) {
	methods := protocolMethods()
	if len(methods) < 30 || len(weights) != len(methods) {
		t.Errorf("%d methods, %d of them are decided about", len(methods), len(weights))
	}
	for _, method := range methods {
		if _, decided := weights[fullName(method)]; !decided {
			t.Errorf("%s is not in the table", fullName(method))
		}
	}
	if newNote(nil, "/bastionlab.v1.DatasetService/Newer", "", "").entry.Action != unknownAction {
		t.Error("a method that nobody knows is named")
	}
	if got := newNote(nil, bastionlabv1.DatasetService_UploadDataset_FullMethodName, "", "").entry.Action; got != "DatasetService.UploadDataset" {
		t.Errorf("an action is named %q", got)
	}
}

// naming are the names of fields that name a dataset, a run or a user; those of the exceptions name something else, or what another field names.
var naming = []string{"id", "dataset_id", "run_id", "user", "scientist", "public_key", "test_of", "weights_run_id", "continue_run_id", "owner", "subject"}

var notNaming = map[string]string{
	"UploadDatasetHeader.upload_id": "the client's name for an upload",
	"GetUploadRequest.upload_id":    "the same",
}

// Every field of a request, and of an answer that is about one thing, that names a dataset, a run or a user is noted. It is read from the protocol, so that a
// new one is not forgotten.
func TestEveryFieldThatNamesSomethingIsNoted(t *testing.T) {
	seen := 0
	for _, method := range protocolMethods() {
		if weights[fullName(method)] == silent {
			continue
		}
		message := newMessage(t, method.Input())
		forEachNaming(message, string(method.Input().Name()), func(path string, set func(string) string) {
			seen++
			want := set("0123456789abcdef0123456789abcdef")
			got := subjectsOf(message.Interface())
			if !slices.Contains([]string{got.dataset, got.run, got.user}, want) {
				t.Errorf("%s: %s is not noted: %+v", method.Name(), path, got)
			}
		})
	}
	if seen < 25 {
		t.Errorf("only %d fields were found", seen)
	}
	for _, answer := range []protoreflect.ProtoMessage{
		&bastionlabv1.Run{Id: "r", DatasetId: "d"}, &bastionlabv1.UploadDatasetResponse{Dataset: &bastionlabv1.Dataset{Id: "d"}},
	} {
		if got := subjectsOf(answer); got.dataset != "d" {
			t.Errorf("%T: %+v", answer, got)
		}
	}
}

func newMessage(t *testing.T, of protoreflect.MessageDescriptor) protoreflect.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New()
}

// forEachNaming visits each naming field of a message, set alone; of a list it does not: an entry names one of each, and an upload's grants and
// presented receipts are many. set returns what is expected to be noted.
func forEachNaming(message protoreflect.Message, path string, visit func(path string, set func(string) string)) {
	var walk func(at protoreflect.Message, path string)
	walk = func(at protoreflect.Message, path string) {
		fields := at.Descriptor().Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			name := string(at.Descriptor().Name()) + "." + string(field.Name())
			switch {
			case field.IsList() || notNaming[name] != "":
			case field.Kind() == protoreflect.MessageKind:
				walk(at.Mutable(field).Message(), path+"."+string(field.Name()))
				at.Clear(field)
			case !looksNaming(string(field.Name())):
			case field.Kind() == protoreflect.StringKind:
				visit(path+"."+string(field.Name()), func(value string) string {
					at.Set(field, protoreflect.ValueOfString(value))
					return value
				})
				at.Clear(field)
			case field.Kind() == protoreflect.BytesKind:
				visit(path+"."+string(field.Name()), func(value string) string {
					at.Set(field, protoreflect.ValueOfBytes([]byte(value)))
					return identity.UserOf([]byte(value)).ID
				})
				at.Clear(field)
			}
		}
	}
	walk(message, path)
}

func looksNaming(field string) bool {
	if field == "model_id" {
		return false // what it was sent for names the dataset
	}
	return slices.Contains(naming, field) || strings.HasSuffix(field, "_id")
}

func TestWhatIsNotedOfCalls(t *testing.T) {
	signIn := bastionlabv1.SessionService_SignIn_FullMethodName
	for name, test := range map[string]struct {
		call   func(s *running) error
		want   audit.Entry
		change bool
	}{
		"a look": {
			func(s *running) error {
				_, err := bastionlabv1.NewDatasetServiceClient(s.conn).ListDatasets(as(context.Background(), goodToken), &bastionlabv1.ListDatasetsRequest{})
				return err
			},
			audit.Entry{User: "alice", Action: "DatasetService.ListDatasets", Allowed: true}, false,
		},
		"a change on the socket": {
			func(s *running) error {
				_, err := bastionlabv1.NewTrainingServiceClient(s.local).CancelRun(as(context.Background(), ""), &bastionlabv1.CancelRunRequest{Id: "r1"})
				return err
			},
			audit.Entry{User: "operator", Action: "TrainingService.CancelRun", Run: "r1", Allowed: true, Binding: "socket"}, true,
		},
		"an upload": {
			func(s *running) error {
				stream, err := bastionlabv1.NewDatasetServiceClient(s.conn).UploadDataset(as(context.Background(), goodToken))
				if err != nil {
					return err
				}
				_ = stream.Send(datasetHeader)
				_ = stream.Send(datasetTrailer)
				_, err = stream.CloseAndRecv()
				return err
			},
			audit.Entry{User: "alice", Action: "DatasetService.UploadDataset", Dataset: "d1", Allowed: true}, true,
		},
		"a refused upload": {
			func(s *running) error {
				stream, err := bastionlabv1.NewDatasetServiceClient(s.conn).UploadDataset(as(context.Background(), goodToken))
				if err != nil {
					return err
				}
				_ = stream.Send(datasetTrailer)
				_, err = stream.CloseAndRecv()
				return wantCode(err, codes.InvalidArgument)
			},
			audit.Entry{User: "alice", Action: "DatasetService.UploadDataset", Reason: "invalid_argument"}, true,
		},
		"weights that leave": {
			func(s *running) error {
				stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).DownloadWeights(as(context.Background(), goodToken), &bastionlabv1.DownloadWeightsRequest{RunId: "r1"})
				if err != nil {
					return err
				}
				for err == nil {
					_, err = stream.Recv()
				}
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			},
			audit.Entry{User: "alice", Action: "TrainingService.DownloadWeights", Run: "r1", Allowed: true}, true,
		},
		"a sign-in that fails": {
			func(s *running) error {
				request := &bastionlabv1.SignInRequest{PublicKey: []byte("key"), Binding: bastionlabv1.Binding_BINDING_EXPORTER}
				_, err := bastionlabv1.NewSessionServiceClient(s.conn).SignIn(as(context.Background(), ""), request)
				return wantCode(err, codes.Unauthenticated)
			},
			audit.Entry{Action: "SessionService.SignIn", Subject: identity.UserOf([]byte("key")).ID, Reason: "unauthenticated", Binding: "exporter"}, false,
		},
		"a sign-in": {
			func(s *running) error {
				digest := sha256.Sum256(s.leaf.RawSubjectPublicKeyInfo)
				request := &bastionlabv1.SignInRequest{PublicKey: []byte("key"), Signature: digest[:], Binding: bastionlabv1.Binding_BINDING_KEY}
				_, err := bastionlabv1.NewSessionServiceClient(s.conn).SignIn(as(context.Background(), ""), request)
				return err
			},
			audit.Entry{User: "alice", Action: "SessionService.SignIn", Allowed: true, Binding: "key"}, false,
		},
		"a change without a token": {
			func(s *running) error {
				_, err := invoke(as(context.Background(), ""), s.conn, bastionlabv1.DatasetService_DeleteDataset_FullMethodName)
				return wantCode(err, codes.Unauthenticated)
			},
			audit.Entry{Action: "DatasetService.DeleteDataset", Reason: "unauthenticated"}, false, // of strangers: bounded, and never synced
		},
		"another protocol": {
			func(s *running) error {
				_, err := invoke(context.Background(), s.conn, signIn)
				return wantCode(err, codes.FailedPrecondition)
			},
			audit.Entry{Action: "SessionService.SignIn", Reason: "version_mismatch"}, false,
		},
		"a method that there is not": {
			func(s *running) error {
				_, err := invoke(as(context.Background(), goodToken), s.conn, "/PLANTED/planted")
				return wantCode(err, codes.FailedPrecondition)
			},
			audit.Entry{Action: "unknown", Reason: "version_mismatch"}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			domain := &fakes{
				upload: &fakeUpload{}, datasets: func(string) ([]*bastionlabv1.Dataset, error) { return nil, nil },
				weights: func(string) (training.Weights, error) {
					return training.Weights{File: file{strings.NewReader("w"), new(bool)}}, nil
				},
			}
			s := start(t, domain)
			if err := test.call(s); err != nil {
				t.Fatal(err)
			}
			s.stop()
			test.want.Boot = "b1"
			if got, changed := domain.audit.last(t); got != test.want || changed != test.change {
				t.Errorf("got  %+v, %t\nwant %+v, %t", got, changed, test.want, test.change)
			}
			if domain.audit.open != 0 {
				t.Error("room is still kept for it")
			}
		})
	}
}

func wantCode(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("got %v, want %s", err, code)
	}
	return nil
}

func TestWhatTellsNobodysIsNotNoted(t *testing.T) {
	domain := &fakes{}
	s := start(t, domain)
	if _, err := bastionlabv1.NewSessionServiceClient(s.conn).Hello(as(context.Background(), ""), &bastionlabv1.HelloRequest{}); err != nil {
		t.Fatal(err)
	}
	TestHealthNeedsNothing(t)
	s.stop()
	if len(domain.audit.entries) != 0 {
		t.Errorf("%+v", domain.audit.entries)
	}
}

// Nothing of an answer leaves before its entry is on disk.
func TestAnAnswerWaitsForItsEntry(t *testing.T) {
	held := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(held) })
	defer letGo()
	domain := &fakes{audit: fakeAudit{held: held}, weights: func(string) (training.Weights, error) {
		return training.Weights{File: file{strings.NewReader("weights"), new(bool)}}, nil
	}}
	s := start(t, domain)
	ctx, cancel := context.WithCancel(as(context.Background(), goodToken))
	defer cancel()
	stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).DownloadWeights(ctx, &bastionlabv1.DownloadWeightsRequest{RunId: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		arrived <- err
	}()
	eventually(t, func() bool {
		domain.audit.mu.Lock()
		defer domain.audit.mu.Unlock()
		return len(domain.audit.entries) == 1
	})
	select {
	case err := <-arrived:
		t.Fatalf("something arrived before the entry was on disk: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	letGo()
	if err := <-arrived; err != nil {
		t.Error(err)
	}
}

// Where the log cannot be written, what would change something is refused before it is done, and looks go on.
func TestWithoutALogNothingIsChanged(t *testing.T) {
	full := refusal.New(refusal.Unavailable, "make room", "no room")
	domain := &fakes{
		audit: fakeAudit{beginFails: full, notFails: full}, upload: &fakeUpload{},
		datasets: func(string) ([]*bastionlabv1.Dataset, error) { return nil, nil },
		weights: func(string) (training.Weights, error) {
			t.Error("weights are opened")
			return training.Weights{}, errors.New("no")
		},
	}
	domain.roles = permission.OfDevelopment | permission.Operator
	s := start(t, domain)
	for _, method := range protocolMethods() {
		if name := fullName(method); weights[name] == change && offered(s, name) {
			detail, err := invoke(as(context.Background(), goodToken), s.conn, name)
			if detail.GetWhat() != "no room" || status.Code(err) != codes.Unavailable {
				t.Errorf("%s: %v, %v", name, detail, err)
			}
		}
	}
	if _, err := invoke(as(context.Background(), goodToken), s.conn, bastionlabv1.DatasetService_ListDatasets_FullMethodName); err != nil {
		t.Errorf("a look: %v", err)
	}
	s.stop()
	if domain.upload.story() != "" {
		t.Errorf("an upload went on: %s", domain.upload.story())
	}
}

func offered(s *running, method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	for _, offered := range s.network.GetServiceInfo()[service].Methods {
		if offered.Name == name {
			return true
		}
	}
	return false
}

// An answer whose entry could not be written does not leave.
func TestAnAnswerThatCannotBeNotedDoesNotLeave(t *testing.T) {
	domain := &fakes{audit: fakeAudit{notFails: errors.New("the disk died")}, weights: func(string) (training.Weights, error) {
		return training.Weights{File: file{strings.NewReader("weights"), new(bool)}}, nil
	}}
	s := start(t, domain)
	stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).DownloadWeights(as(context.Background(), goodToken), &bastionlabv1.DownloadWeightsRequest{RunId: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.Recv()
	expect(t, refusal.Unavailable, codes.Unavailable, detailIn(stream.Trailer()), err)
	if message != nil {
		t.Errorf("%v left", message)
	}
	if what := detailIn(stream.Trailer()).GetWhat(); !strings.Contains(what, "audit log could not be written") {
		t.Errorf("it says %q", what)
	}
	_, err = bastionlabv1.NewTrainingServiceClient(s.local).CancelRun(as(context.Background(), ""), &bastionlabv1.CancelRunRequest{Id: "r"})
	if err := wantCode(err, codes.Unavailable); err != nil {
		t.Errorf("a call of one answer: %v", err)
	}
}

func TestListAudit(t *testing.T) {
	s := start(t, &fakes{})
	page, err := bastionlabv1.NewAuditServiceClient(s.conn).ListAudit(as(context.Background(), goodToken), &bastionlabv1.ListAuditRequest{AfterSeq: 7, DatasetId: "d"})
	want := &bastionlabv1.AuditEntry{Seq: 8, UnixMs: maxAuditPage, User: "alice", Action: "a", DatasetId: "d", RunId: "r", Allowed: true, Reason: "w", Binding: "key", BootId: "b", Subject: "s"}
	if err != nil || !page.GetMore() || len(page.GetEntries()) != 1 || page.GetEntries()[0].String() != want.String() {
		t.Errorf("got %v, %v", page, err)
	}
}
