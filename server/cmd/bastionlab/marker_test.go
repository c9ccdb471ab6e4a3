package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func blobsIn(t *testing.T, dir, kind string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "blobs", kind))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// marker fills the input of a record. The trainers below put it into everything that they can say.
const marker = "MARKER-record-17"

func TestNothingOfARecordReachesAScientistOrTheLog(t *testing.T) {
	for name, say := range map[string]func(record string, progress func(*trainerv1.Progress)) error{
		"error":   func(record string, _ func(*trainerv1.Progress)) error { return errors.New(record) },
		"wrapped": func(record string, _ func(*trainerv1.Progress)) error { return fmt.Errorf("%w", errors.New(record)) },
		"refusal": func(record string, _ func(*trainerv1.Progress)) error {
			refused := refusal.New(refusal.IncompatibleModel, record, "%s", record)
			refused.Spent, refused.Model = record, &refusal.Model{Operator: record, Layer: record, Reason: record}
			return refused
		},
		"training failed": func(record string, _ func(*trainerv1.Progress)) error {
			return refusal.New(refusal.TrainingFailed, record, "%s", record)
		},
		"progress": func(record string, progress func(*trainerv1.Progress)) error {
			for _, letter := range []byte(record) {
				progress(&trainerv1.Progress{StepsDone: int64(letter) << 32, EpochsDone: int64(letter)})
			}
			return nil
		},
		"nothing": func(string, func(*trainerv1.Progress)) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeTrainers{}
			n := serveOn(t, t.TempDir(), f)
			owner, scientist := n.connect(), n.connect()
			d, _, err := owner.sendDataset(parts("planted", 6, marker))
			if err != nil {
				t.Fatal(err)
			}
			m := scientist.uploadModel(d.GetId())
			told := false
			f.set(func(f *fakeTrainers) {
				f.train = func(_ context.Context, records []byte, progress func(*trainerv1.Progress)) error {
					if told = strings.Contains(string(records), marker); !told {
						t.Error("the trainer did not get the marker")
					}
					return say(marker, progress)
				}
			})
			run := scientist.wait(scientist.start(request(m, d.GetId(), 2)).GetId())
			if steps := run.GetPlan().GetSteps(); run.GetStepsDone() > steps {
				t.Errorf("%d of %d steps", run.GetStepsDone(), steps)
			}
			if run.GetStatus() == bastionlabv1.RunStatus_RUN_STATUS_WAITING {
				if _, err := owner.runs().DenyRun(owner.ctx(), &bastionlabv1.DenyRunRequest{Id: run.GetId()}); err != nil {
					t.Fatal(err)
				}
				run = scientist.wait(run.GetId())
			}
			_, _, _ = scientist.download(run.GetId())
			_, _ = scientist.runs().ListRuns(scientist.ctx(), &bastionlabv1.ListRunsRequest{})
			_, _ = scientist.data().ListDatasets(scientist.ctx(), &bastionlabv1.ListDatasetsRequest{})
			_ = scientist.spent(d.GetId())
			if err := n.stop(); err != nil {
				t.Fatal(err)
			}
			if !scientist.seen.contains("planted") || scientist.seen.count < 8 || !told {
				t.Fatalf("the test saw next to nothing: %d messages", scientist.seen.count)
			}
			for _, form := range []string{marker, hex.EncodeToString([]byte(marker)), base64.StdEncoding.EncodeToString([]byte(marker))[:20]} {
				if scientist.seen.contains(form) {
					t.Errorf("the scientist was sent %q", form)
				}
				if strings.Contains(n.log.String(), form) {
					t.Errorf("the log holds %q", form)
				}
			}
		})
	}
}

// At rest nothing of a record is in the clear either, nor of the weights.
func TestNoFileOfTheDataDirectoryHoldsARecord(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner := n.connect()
	if _, _, err := owner.sendDataset(parts("planted", 6, marker)); err != nil {
		t.Fatal(err)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.Walk(n.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		files++
		if strings.Contains(string(content), marker) {
			t.Errorf("%s holds the marker", path)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}
