package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestEveryKindHasACodeAndANumberOnTheWire(t *testing.T) {
	for number, name := range bastionlabv1.ErrorDetail_Kind_name {
		if number == 0 {
			continue
		}
		code, detail := answer(context.Background(), refusal.New(refusal.Kind(number), "do this", "that was wrong"))
		if code == codes.OK || code == codes.Unknown {
			t.Errorf("%s has no code", name)
		}
		if int32(detail.GetKind()) != number || detail.GetWhat() != "that was wrong" || detail.GetNext() != "do this" || detail.GetSpent() != refusal.Nothing {
			t.Errorf("%s arrives as %v", name, detail)
		}
	}
}

func TestRefusalKeepsItsFigures(t *testing.T) {
	_, detail := answer(context.Background(), &refusal.Error{Kind: refusal.BudgetExceeded,
		Budget: &refusal.Budget{LimitNano: 6, SpentNano: 4, RequestedNano: 3, RemainingNano: 2}})
	want := &bastionlabv1.BudgetExceeded{LimitNano: 6, SpentNano: 4, RequestedNano: 3, RemainingNano: 2}
	if !proto.Equal(detail.GetBudget(), want) {
		t.Errorf("budget %v", detail.GetBudget())
	}
	_, detail = answer(context.Background(), &refusal.Error{Kind: refusal.IncompatibleModel,
		Model: &refusal.Model{Operator: "aten::batch_norm", Layer: "encoder.0", Reason: "it mixes records"}})
	if model := detail.GetModel(); model.GetOperator() != "aten::batch_norm" || model.GetLayer() != "encoder.0" || model.GetReason() != "it mixes records" {
		t.Errorf("model %v", model)
	}
}

func TestCallerWhoLeftReadsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range []error{ctx.Err(), errors.New("database is locked"), transportError{status.FromContextError(ctx.Err()).Err()}} {
		if code, detail := answer(ctx, err); code != codes.Canceled || detail != nil {
			t.Errorf("%v: %s, %v", err, code, detail)
		}
	}
}

// A Python client takes 8 KiB of trailing metadata; beyond that the refusal itself would be lost.
func FuzzAnAnswerFitsAndIsText(f *testing.F) {
	f.Add("plain", "nothing", "try again")
	f.Add(strings.Repeat("x", 9000), strings.Repeat("\x00\xff", 9000), strings.Repeat("ü\u202e", 9000))
	f.Fuzz(func(t *testing.T, what, spent, next string) {
		code, detail := answer(context.Background(), &refusal.Error{Kind: refusal.IncompatibleModel, What: what, Spent: spent, Next: next,
			Budget: &refusal.Budget{LimitNano: 1 << 62, SpentNano: 1 << 62, RequestedNano: 1 << 62, RemainingNano: 1 << 62},
			Model:  &refusal.Model{Operator: what, Layer: next, Reason: spent}})
		trailer, err := trailerOf(detail)
		if err != nil {
			t.Fatal(err)
		}
		message := status.Convert(statusOf(code, detail)).Message()
		if size := len(trailer.Get(ErrorTrailer)[0])*4/3 + 3*len(message); size > 7<<10 {
			t.Errorf("the trailer takes %d bytes", size)
		}
		for _, text := range []string{message, detail.GetWhat(), detail.GetModel().GetReason()} {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x00\x1b") {
				t.Errorf("not printable: %q", text)
			}
		}
	})
}
