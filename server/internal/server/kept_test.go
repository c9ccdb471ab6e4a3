package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const uploadName = "00112233445566778899aabbccddeeff"

func namedHeader(id string, after int64) *bastionlabv1.UploadDatasetHeader {
	return &bastionlabv1.UploadDatasetHeader{Name: "d", Records: 30, UploadId: id, AfterBatches: after}
}

func headerPart(header *bastionlabv1.UploadDatasetHeader) *bastionlabv1.UploadDatasetRequest {
	return &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Header{Header: header}}
}

var tenRecords = &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: &bastionlabv1.RecordBatch{Count: 10}}}

// uploading is a client's stream that can be cut.
type uploading struct {
	bastionlabv1.DatasetService_UploadDatasetClient
	cut func()
}

func uploadOn(t *testing.T, s *running, header *bastionlabv1.UploadDatasetHeader) uploading {
	t.Helper()
	ctx, cancel := context.WithCancel(as(context.Background(), goodToken))
	t.Cleanup(cancel)
	stream, err := bastionlabv1.NewDatasetServiceClient(s.conn).UploadDataset(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(headerPart(header)); err != nil {
		t.Fatal(err)
	}
	return uploading{stream, cancel}
}

func standing(t *testing.T, s *running, id string) string {
	t.Helper()
	got := s.uploads.standing("alice", id) // the call itself would end its stream
	return fmt.Sprintf("%d of %d", got.GetBatches(), got.GetRecords())
}

func (u *uploads) waits() int { u.mu.Lock(); defer u.mu.Unlock(); return len(u.waiting) }

// cutAfter brings so many batches, is cut, and waits until the upload is kept.
func cutAfter(t *testing.T, s *running, header *bastionlabv1.UploadDatasetHeader, batches int) {
	t.Helper()
	stream := uploadOn(t, s, header)
	for range batches {
		if err := stream.Send(tenRecords); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf("%d of %d", header.GetAfterBatches()+int64(batches), 10*(header.GetAfterBatches()+int64(batches)))
	eventually(t, func() bool { return standing(t, s, header.GetUploadId()) == want && s.begun(header) })
	stream.cut()
	eventually(t, func() bool { return s.uploads.waits() == 1 })
}

// begun says whether an upload has got as far as its domain.
func (r *running) begun(header *bastionlabv1.UploadDatasetHeader) bool {
	r.uploads.mu.Lock()
	d := r.uploads.named[uploadKey{"alice", header.GetUploadId()}]
	r.uploads.mu.Unlock()
	return d != nil && r.domain.begun.Load() > 0
}

func TestAnUploadThatWasCutGoesOn(t *testing.T) {
	for cut := range 4 {
		t.Run(fmt.Sprintf("after %d batches", cut), func(t *testing.T) {
			domain := &fakes{upload: &fakeUpload{}}
			s := start(t, domain)
			cutAfter(t, s, namedHeader(uploadName, 0), cut)
			stream := uploadOn(t, s, namedHeader(uploadName, int64(cut)))
			for range 3 - cut {
				_ = stream.Send(tenRecords)
			}
			_ = stream.Send(datasetTrailer)
			if response, err := stream.CloseAndRecv(); err != nil || response.GetDataset().GetId() != "d1" {
				t.Errorf("response %v, %v", response, err)
			}
			if got := standing(t, s, uploadName); got != "0 of 0" {
				t.Errorf("after its end the server holds %s", got)
			}
			s.stop()
			want := strings.Fields(strings.Repeat("add ", cut) + "rest " + strings.Repeat("add ", 3-cut) + "finish abort")
			if domain.upload.story() != strings.Join(want, " ") {
				t.Errorf("the domain saw %q", domain.upload.story())
			}
			if len(s.uploads.of) != 0 || s.uploads.taken != 0 || len(s.uploads.named) != 0 {
				t.Errorf("places are still taken: %+v", s.uploads)
			}
			if domain.begun.Load() != 1 {
				t.Errorf("it was begun %d times", domain.begun.Load())
			}
		})
	}
}

// A stream that does not fit is refused, told how much there is, and changes nothing: the right one still goes on.
func TestAStreamThatDoesNotFitChangesNothing(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	cutAfter(t, s, namedHeader(uploadName, 0), 2)
	with := func(change func(h *bastionlabv1.UploadDatasetHeader)) *bastionlabv1.UploadDatasetHeader {
		h := namedHeader(uploadName, 2)
		change(h)
		return h
	}
	for name, test := range map[string]struct {
		header *bastionlabv1.UploadDatasetHeader
		words  string
	}{
		"fewer":            {namedHeader(uploadName, 1), "after 1 batches, and the server holds 2 batches"},
		"from the start":   {namedHeader(uploadName, 0), "after 0 batches, and the server holds 2 batches"},
		"more":             {namedHeader(uploadName, 3), "after 3 batches, and the server holds 2 batches"},
		"another name":     {with(func(h *bastionlabv1.UploadDatasetHeader) { h.Name = "e" }), "not the one that the upload began with, and the server holds 2"},
		"another limit":    {with(func(h *bastionlabv1.UploadDatasetHeader) { h.PrivacyLimit = proto.Float64(100) }), "not the one"},
		"other permission": {with(func(h *bastionlabv1.UploadDatasetHeader) { h.Permissions = &bastionlabv1.Permissions{} }), "not the one"},
		"unknown":          {namedHeader(strings.Repeat("f", 32), 2), "after 2 batches, and the server holds 0 batches"},
		"no identifier":    {namedHeader("", 2), "named by 32 hex digits"},
		"a negative place": {namedHeader(uploadName, -1), "named by 32 hex digits"},
		"a wrong name":     {namedHeader("../../../../etc/passwd", 0), "named by 32 hex digits"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := uploadOn(t, s, test.header)
			_, err := stream.CloseAndRecv()
			detail := detailIn(stream.Trailer())
			expect(t, refusal.InvalidArgument, codes.InvalidArgument, detail, err)
			if !strings.Contains(detail.GetWhat(), test.words) {
				t.Errorf("it says %q", detail.GetWhat())
			}
			if got := standing(t, s, uploadName); got != "2 of 20" {
				t.Errorf("the server holds %s", got)
			}
		})
	}
	stream := uploadOn(t, s, namedHeader(uploadName, 2))
	_ = stream.Send(datasetTrailer)
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Error(err)
	}
}

func TestTwoStreamsOfOneUpload(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	first := uploadOn(t, s, namedHeader(uploadName, 0))
	_ = first.Send(tenRecords)
	eventually(t, func() bool { return standing(t, s, uploadName) == "1 of 10" })
	second := uploadOn(t, s, namedHeader(uploadName, 0)) // which does not go on after what there is
	_, err := second.CloseAndRecv()
	expect(t, refusal.Unavailable, codes.Unavailable, detailIn(second.Trailer()), err)
	_ = first.Send(datasetTrailer)
	if _, err := first.CloseAndRecv(); err != nil {
		t.Error(err)
	}
	if story := domain.upload.story(); !strings.HasPrefix(story, "add finish") {
		t.Errorf("the domain saw %q", story)
	}
}

// Only an upload that has a name and whose client was not reached any more is kept: not one that was refused, or that its client ended.
func TestWhatIsNotKept(t *testing.T) {
	for name, end := range map[string]struct {
		header *bastionlabv1.UploadDatasetHeader
		fail   error
		end    func(u uploading)
	}{
		"without a name":      {namedHeader("", 0), nil, func(u uploading) { u.cut() }},
		"ended by its client": {namedHeader(uploadName, 0), nil, func(u uploading) { _, _ = u.CloseAndRecv() }},
		"a refused batch":     {namedHeader(uploadName, 0), refusal.New(refusal.InvalidArgument, "", "no"), func(u uploading) { _ = u.Send(tenRecords) }},
		"a header again":      {namedHeader(uploadName, 0), nil, func(u uploading) { _ = u.Send(datasetHeader) }},
		"a failed finish":     {namedHeader(uploadName, 0), errors.New("the disk died"), func(u uploading) { _ = u.Send(datasetTrailer) }},
	} {
		t.Run(name, func(t *testing.T) {
			domain := &fakes{upload: &fakeUpload{}}
			s := start(t, domain)
			stream := uploadOn(t, s, end.header)
			eventually(t, func() bool { return domain.begun.Load() == 1 })
			domain.upload.fail(end.fail)
			end.end(stream)
			eventually(t, func() bool { return strings.HasSuffix(domain.upload.story(), "abort") })
			eventually(t, func() bool {
				s.uploads.mu.Lock()
				defer s.uploads.mu.Unlock()
				return s.uploads.taken == 0 && len(s.uploads.named) == 0
			})
		})
	}
}

// What is kept ends by itself, with its place, and a stopped server keeps nothing.
func TestAKeptUploadEnds(t *testing.T) {
	for name, end := range map[string]func(s *running){
		"in time":     func(*running) {},
		"at a stop":   func(s *running) { s.stop() },
		"for a newer": func(s *running) { _, _ = uploadOn(t, s, namedHeader("", 0)), uploadOn(t, s, namedHeader("", 0)) },
		"for a second": func(s *running) {
			s.uploads.keep = time.Hour
			u := uploadOn(t, s, namedHeader(strings.Repeat("e", 32), 0))
			eventually(t, func() bool { return s.domain.begun.Load() == 2 })
			u.cut()
		},
	} {
		t.Run(name, func(t *testing.T) {
			domain := &fakes{upload: &fakeUpload{}}
			s := start(t, domain)
			s.uploads.keep = time.Hour
			if name == "in time" {
				s.uploads.keep = 50 * time.Millisecond
				stream := uploadOn(t, s, namedHeader(uploadName, 0))
				eventually(t, func() bool { return domain.begun.Load() == 1 })
				stream.cut()
			} else {
				cutAfter(t, s, namedHeader(uploadName, 0), 1)
			}
			end(s)
			eventually(t, func() bool {
				return strings.Contains(domain.upload.story(), "rest abort") || strings.Contains(domain.upload.story(), "rest rest abort")
			})
			s.uploads.mu.Lock()
			defer s.uploads.mu.Unlock()
			if s.uploads.named[uploadKey{"alice", uploadName}] != nil {
				t.Error("it is still known")
			}
		})
	}
}

// restingUpload is an upload that nothing is brought to.
type restingUpload struct{ rested, aborted int }

func (*restingUpload) Add(context.Context, *bastionlabv1.RecordBatch) error { return nil }
func (*restingUpload) Finish(context.Context, *bastionlabv1.UploadDatasetTrailer) (*bastionlabv1.UploadDatasetResponse, error) {
	return nil, nil
}
func (u *restingUpload) Rest()  { u.rested++ }
func (u *restingUpload) Abort() { u.aborted++ }

func keptOf(t *testing.T, u *uploads, user, id string) *restingUpload {
	t.Helper()
	d, err := u.open(user, namedHeader(id, 0))
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	upload := &restingUpload{}
	d.upload = upload
	u.release(d, true)
	return upload
}

// However many are cut, few are kept, one of a user, and none that is kept holds anybody up.
func TestKeptUploadsAreFewAndHoldNobodyUp(t *testing.T) {
	u := newUploads(8, 2)
	defer u.stop()
	id := func(i int) string { return fmt.Sprintf("%032x", i) }
	first := keptOf(t, u, "alice", id(1))
	second := keptOf(t, u, "alice", id(2))
	if first.aborted != 1 || second.aborted != 0 || second.rested != 1 || u.taken != 1 {
		t.Errorf("a second of a user: %+v, %+v, %d places", first, second, u.taken)
	}
	var others []*restingUpload
	for i, user := range []string{"bob", "carol", "dave", "eve"} {
		others = append(others, keptOf(t, u, user, id(i)))
	}
	if second.aborted != 1 || others[0].aborted != 0 || u.taken != maxKept || len(u.named) != maxKept {
		t.Errorf("a fifth: %+v, %+v, %d places", second, others[0], u.taken)
	}
	for i := range 8 {
		if _, err := u.enter(fmt.Sprint("honest", i/2)); err != nil {
			t.Errorf("honest upload %d: %v", i, err)
		}
		if left := min(4, 7-i); len(u.waiting) != left {
			t.Errorf("after %d honest uploads %d are kept", i+1, len(u.waiting))
		}
	}
	if others[0].aborted != 1 || others[3].aborted != 1 || u.taken != 8 || len(u.named) != 0 {
		t.Errorf("%d places, %d kept", u.taken, len(u.named))
	}
	if _, err := u.enter("late"); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("a ninth: %v", err)
	}
}

// Another's upload is not seen, and its identifier is free for everybody.
func TestAnotherUsersUploadIsNotThere(t *testing.T) {
	u := newUploads(8, 2)
	defer u.stop()
	kept := keptOf(t, u, "alice", uploadName)
	u.named[uploadKey{"alice", uploadName}].batches = 7
	if got := u.standing("bob", uploadName); got.GetBatches() != 0 {
		t.Errorf("bob sees %v", got)
	}
	if _, err := u.open("bob", namedHeader(uploadName, 7)); refusal.KindOf(err) != refusal.InvalidArgument || !strings.Contains(err.Error(), "holds 0") {
		t.Errorf("bob goes on: %v", err)
	}
	begun, err := u.open("bob", namedHeader(uploadName, 0))
	if err != nil || begun.batches != 0 || begun.upload != nil {
		t.Errorf("bob begins his own: %+v, %v", begun, err)
	}
	if kept.aborted != 0 || u.standing("alice", uploadName).GetBatches() != 7 {
		t.Error("alice's is gone")
	}
	u.release(begun, false)
}

// A timer that fires while an upload is taken up again does not end it, nor end it early once it is cut again.
func TestAnOldTimerEndsNothing(t *testing.T) {
	u := newUploads(8, 2)
	defer u.stop()
	u.keep = time.Hour
	kept := keptOf(t, u, "alice", uploadName)
	d, err := u.open("alice", namedHeader(uploadName, 0))
	if err != nil {
		t.Fatal(err)
	}
	u.expire(d)
	u.release(d, true)
	u.expire(d)
	if kept.aborted != 0 || len(u.waiting) != 1 {
		t.Errorf("%+v", kept)
	}
}

// A caller who lost the right to upload is not cut: nothing of theirs is kept.
func TestWhoWasRefusedWasNotCut(t *testing.T) {
	gone, cancel := context.WithCancelCause(context.Background())
	cancel(nil)
	revoked, revoke := context.WithCancelCause(context.Background())
	revoke(refusal.New(refusal.Unauthenticated, "", "revoked"))
	for name, test := range map[string]struct {
		ctx  context.Context
		err  error
		want bool
	}{
		"gone":          {gone, gone.Err(), true},
		"gone, by gRPC": {gone, transportError{errors.New("reset")}, true},
		"revoked":       {revoked, revoked.Err(), false},
		"refused":       {gone, refusal.New(refusal.InvalidArgument, "", "no"), false},
		"a failure":     {context.Background(), errors.New("the disk died"), false},
		"nothing":       {gone, nil, false},
	} {
		if got := wasCut(test.ctx, test.err); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
