package main

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

func TestWhatIsPrintedNamesAGPU(t *testing.T) {
	charged := func(device string) receipt.Body {
		charge, err := proto.Marshal(&bastionlabv1.Charge{Device: device})
		if err != nil {
			t.Fatal(err)
		}
		return receipt.Body{Type: receipt.Reserve, Charge: charge}
	}
	note := func(m receipt.Body) string { return movementRow(m)[len(movementHeader())-1] }
	if note(charged("cuda")) != "on cuda" || note(charged("")) != "" || note(receipt.Body{Type: receipt.Settle, Outcome: "completed"}) != "completed" {
		t.Errorf("notes %q, %q", note(charged("cuda")), note(charged("")))
	}
	// SECURITY: a ledger that somebody else wrote does not steer the terminal.
	if said := note(charged("\x1b[31m")); strings.Contains(said, "\x1b") {
		t.Errorf("note %q", said)
	}
	for device, shown := range map[string]string{"": "cpu", "cuda": "cuda"} {
		rows := runRows(&bastionlabv1.Run{Plan: &bastionlabv1.Plan{Device: device}})
		if !slices.ContainsFunc(rows, func(row []string) bool { return slices.Equal(row, []string{"device", shown}) }) {
			t.Errorf("%q: %v", device, rows)
		}
	}
	permits := func(p *bastionlabv1.Permissions) bool {
		rows := grantRows(&bastionlabv1.Dataset{Permissions: p})
		return slices.ContainsFunc(rows, func(row []string) bool { return slices.Equal(row, []string{"runs of others may compute on a GPU"}) })
	}
	if !permits(&bastionlabv1.Permissions{Gpu: true}) || permits(&bastionlabv1.Permissions{}) {
		t.Error("a permission is not printed")
	}
}
