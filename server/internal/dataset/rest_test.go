package dataset

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// uploadResting uploads ten records in five batches, and rests after one of them as an upload does whose stream was cut; what comes after it comes under another
// context. It returns the opening of the account.
func uploadResting(t *testing.T, s *site, after int) (records []byte, opening receipt.Body) {
	t.Helper()
	ctx, cut := context.WithCancel(t.Context())
	u, err := s.catalogue.Begin(ctx, "alice", smsHeader(10))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	var batches []*bastionlabv1.RecordBatch
	for i := range 5 {
		if i == after {
			cut()
			ctx = t.Context()
			u.Rest()
			if u.relay.buffer != nil {
				t.Error("it keeps a buffer while it rests")
			}
		}
		batches = append(batches, batch(t, 2*i, 2*i+2))
		if err := u.Add(ctx, batches[i]); err != nil {
			t.Fatal(err)
		}
	}
	if after == 5 {
		u.Rest()
	}
	answer, err := u.Finish(t.Context(), trailerOf(10, batches...))
	cut()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := s.catalogue.OpenRecords(t.Context(), answer.GetDataset().GetId())
	if err != nil {
		t.Fatal(err)
	}
	defer opened.File.Close()
	if records, err = io.ReadAll(opened.File); err != nil {
		t.Fatal(err)
	}
	if opening, err = receipt.Decode(answer.GetReceipts()[0].GetBody()); err != nil {
		t.Fatal(err)
	}
	return records, opening
}

// Whatever batch an upload rested after, its records lie as those of one that did not, and so do the digests by which they are known again: an upload of
// the same records joins its account.
func TestAnUploadThatRestedIsTheSame(t *testing.T) {
	whole, _ := uploadResting(t, openSite(t, t.TempDir()), -1)
	for after := range 6 {
		t.Run(fmt.Sprintf("after %d batches", after), func(t *testing.T) {
			s := openSite(t, t.TempDir())
			_, measure := uploadResting(t, s, -1)
			records, opening := uploadResting(t, s, after)
			if !bytes.Equal(records, whole) {
				t.Errorf("records lie as\n%v, want\n%v", records, whole)
			}
			if opening.Type != receipt.Join || opening.Rows != measure.Rows || opening.Blob != measure.Blob {
				t.Errorf("its account says %+v, that of the one that did not rest %+v", opening, measure)
			}
		})
	}
}

// An upload that rests and is given up leaves nothing.
func TestAnUploadThatRestsLeavesNothing(t *testing.T) {
	s := openSite(t, t.TempDir())
	before := s.traces(t)
	u, err := s.catalogue.Begin(t.Context(), "alice", smsHeader(10))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Add(t.Context(), batch(t, 0, 4)); err != nil {
		t.Fatal(err)
	}
	u.Rest()
	u.Abort()
	if got := s.traces(t); got != before {
		t.Errorf("%+v is left, there was %+v", got, before)
	}
}

// A server that ends while one rests leaves its file, and the next sweeps it.
func TestTheFileOfAnUploadThatRestedIsSwept(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	before := s.traces(t)
	u, err := s.catalogue.Begin(t.Context(), "alice", smsHeader(10))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Add(t.Context(), batch(t, 0, 4)); err != nil {
		t.Fatal(err)
	}
	u.Rest()
	if s.traces(t) == before {
		t.Fatal("there is no file to sweep")
	}
	s.close()
	if got := openSite(t, dir).traces(t); got != before {
		t.Errorf("%+v is left, there was %+v", got, before)
	}
}
