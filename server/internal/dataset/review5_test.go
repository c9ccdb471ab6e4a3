package dataset

import (
	"strings"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
)

// comparing is a ledger that holds an upload where it is about to be compared with all earlier ones of its owner: that reads and decrypts
// the digests of every one of them, deleted ones included, however many there are.
type comparing struct {
	books
	begun, go_ chan struct{}
}

func (c *comparing) AccountsOf(owner string) []ledger.Account {
	close(c.begun)
	<-c.go_
	return c.books.AccountsOf(owner)
}

// How much a stranger has uploaded must not decide when an owner can lower a limit.
func TestReviewWhileAStrangersUploadIsComparedALimitCanBeLowered(t *testing.T) {
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
