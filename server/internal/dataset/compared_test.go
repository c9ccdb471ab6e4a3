package dataset

import (
	"strings"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// comparing is a ledger that holds an upload where it is about to be compared with all earlier ones of its owner: that reads and decrypts
// the digests of every one of them, deleted ones included, however many there are.
type comparing struct {
	books
	asked      int
	begun, go_ chan struct{}
}

func (c *comparing) AccountsOf(owner string) []ledger.Account {
	if c.asked++; c.asked == 2 { // first it is asked whether there is room
		close(c.begun)
		<-c.go_
	}
	return c.books.AccountsOf(owner)
}

// How much a stranger has uploaded must not decide when an owner can lower a limit.
func TestWhileAStrangersUploadIsComparedALimitCanBeLowered(t *testing.T) {
	s := openSite(t, t.TempDir())
	good, hostile := strings.Repeat("a", 64), strings.Repeat("b", 64)
	d := s.mustUpload(t, good, smsHeader(10))
	held := &comparing{books: s.catalogue.ledger, begun: make(chan struct{}), go_: make(chan struct{})}
	s.catalogue.ledger = held
	uploaded := make(chan struct{})
	go func() {
		defer close(uploaded)
		_, _ = s.upload(t, hostile, smsHeader(10))
	}()
	<-held.begun
	lowered := make(chan error, 1)
	go func() {
		_, err := s.catalogue.LowerLimit(t.Context(), good, d.GetId(), 1, "")
		lowered <- err
	}()
	select {
	case err := <-lowered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Second):
		t.Error("the owner waits for a stranger's upload")
	}
	close(held.go_)
	<-uploaded
}

func TestAnOwnerUploadsNoMoreThanIsCompared(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.catalogue.limits.OwnerUploads = 2
	for range 2 {
		d := s.mustUpload(t, "alice", smsHeader(10))
		if err := s.catalogue.Delete(t.Context(), "alice", d.GetId()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.upload(t, "alice", smsHeader(10))
	wantRefusal(t, err, refusal.InvalidArgument, "2 datasets of 2", "deleted ones included")
	s.mustUpload(t, "bob", smsHeader(10))
	s.catalogue.limits.OwnerUploads, s.catalogue.limits.OwnerRecords = 100, 100
	_, err = s.upload(t, "alice", smsHeader(90))
	wantRefusal(t, err, refusal.InvalidArgument, "records with these of 100")
}
