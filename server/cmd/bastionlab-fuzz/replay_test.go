//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/archivefuzz"
	"github.com/bastionlab/bastionlab/server/internal/program"
)

const builtTrainer = "../../../bin/bastionlab-trainer"

// What was found lately, and may not come back: each archive goes through the supervisor, by the trainer that make has built, and gets
// the answer that it has to get. None keeps the next from being read.
func TestWhatWasFoundIsAnswered(t *testing.T) {
	if _, err := os.Stat(builtTrainer); err != nil {
		t.Skipf("no trainer: make builds it (%v)", err)
	}
	operators, err := program.Operators()
	if err != nil {
		t.Fatal(err)
	}
	server, err := newWhole(builtTrainer, 2*time.Minute, operators)
	if err != nil {
		t.Fatal(err)
	}
	const died = "judging the model ended the process that did it"
	answers := map[string]string{
		"code_that_does_not_parse":    "the model cannot be read as TorchScript: libtorch cannot read the archive: expected ident",
		"data_type_that_there_is_not": "the model cannot be trained privately (aten::hann_window): the number of a data type that there is not",
		"gru":                         "", // honest
		"linear_between_windows":      "", // odd, and no harm
		"nested_parentheses":          died,
		"nothing_for_a_module":        "the model cannot be read as TorchScript: libtorch cannot read the archive: isObject(): Expected Object",
		"row_of_signs":                died,
		"version_of_no_letters":       "the model cannot be read as TorchScript: libtorch cannot read the archive: ",
	}
	samples, err := archivefuzz.Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != len(answers) {
		t.Errorf("%d archives, %d answers", len(samples), len(answers))
	}
	for _, sample := range samples {
		t.Run(sample.Name, func(t *testing.T) {
			want, ok := answers[sample.Name]
			if !ok {
				t.Fatal("nobody has said what its answer is")
			}
			payload, err := server.takeIn(sample)
			if want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Fatalf("got %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := server.train(sample, payload); err != nil {
				t.Fatal(err)
			}
		})
	}
	left, err := look()
	if err != nil || left.children > 0 {
		t.Errorf("left behind: %+v, %v", left, err)
	}
}
