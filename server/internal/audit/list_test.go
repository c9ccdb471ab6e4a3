package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEachIsToldWhatConcernsThem(t *testing.T) {
	l := mustOpen(t, newDisk(), &memoryMark{}, 1500)
	must(t, change(l, deleted(alice, dataset)), // 1
		change(l, deleted(bob, dataset)),                                                           // 2
		change(l, deleted(bob, other)),                                                             // 3
		change(l, Entry{User: alice, Action: "UserService.AddUser", Subject: bob}),                 // 4
		change(l, Entry{Action: "SessionService.SignIn", Reason: "unauthenticated", Subject: bob}), // 5
	)
	owns := func(ids ...string) map[string]bool {
		owned := map[string]bool{}
		for _, id := range ids {
			owned[id] = true
		}
		return owned
	}
	for name, test := range map[string]struct {
		query Query
		want  string
		more  bool
	}{
		"operator":                     {Query{All: true, Most: 10}, "1 2 3 4 5", false},
		"operator, of one":             {Query{All: true, Dataset: dataset, Most: 10}, "1 2", false},
		"owner":                        {Query{User: alice, Datasets: owns(dataset), Most: 10}, "1 2 4", false},
		"owner of two":                 {Query{User: alice, Datasets: owns(dataset, other), Most: 10}, "1 2 3 4", false},
		"owner, of one":                {Query{User: alice, Datasets: owns(dataset), Dataset: dataset, Most: 10}, "1 2", false},
		"owner, of another's":          {Query{User: alice, Datasets: owns(dataset), Dataset: other, Most: 10}, "", false},
		"scientist":                    {Query{User: bob, Most: 10}, "2 3", false},
		"scientist, of one":            {Query{User: bob, Dataset: other, Most: 10}, "3", false},
		"a page":                       {Query{All: true, Most: 2}, "1 2", true},
		"the next":                     {Query{All: true, After: 2, Most: 2}, "3 4", true},
		"the last":                     {Query{All: true, After: 4, Most: 2}, "5", false},
		"a page that is full just so":  {Query{All: true, After: 3, Most: 2}, "4 5", false},
		"beyond the end":               {Query{All: true, After: 99, Most: 2}, "", false},
		"nobody":                       {Query{Most: 10}, "", false},
		"nobody, with an empty subset": {Query{Datasets: owns(), Most: 10}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			lines, more, err := l.List(context.Background(), test.query)
			must(t, err)
			var got []string
			for _, line := range lines {
				got = append(got, fmt.Sprint(line.Seq))
			}
			if strings.Join(got, " ") != test.want || more != test.more {
				t.Errorf("got %v, %t", got, more)
			}
		})
	}
}

// A page of few lines in a long log reads the parts that hold them, and pages together are everything once.
func TestPagesReadOnlyWhereTheirLinesAre(t *testing.T) {
	disk := newDisk()
	l := mustOpen(t, disk, &memoryMark{}, 1<<20)
	for i := range 10_000 {
		e := Entry{User: fmt.Sprintf("%064x", i/1000+100), Action: "DatasetService.GetDataset", Dataset: other}
		if i%4000 == 17 {
			e = deleted(alice, dataset)
		}
		w := &waiting{entry: e}
		l.mu.Lock()
		l.queue = append(l.queue, w)
		l.mu.Unlock()
		if i%500 == 0 {
			l.poke()
		}
	}
	must(t, change(l, looked(bob, other)))
	if len(l.index.blocks) < 9 {
		t.Fatalf("%d blocks", len(l.index.blocks))
	}
	disk.mu.Lock()
	before := disk.calls
	disk.mu.Unlock()
	lines, more, err := l.List(context.Background(), Query{User: alice, Most: 100})
	if err != nil || more || len(lines) != 3 {
		t.Fatalf("%d lines, %t, %v", len(lines), more, err)
	}
	disk.mu.Lock()
	opened := disk.calls - before
	disk.mu.Unlock()
	if opened > 5 {
		t.Errorf("%d parts were read for three lines", opened)
	}
	var seen int64
	for more := true; more; {
		lines, more, err = l.List(context.Background(), Query{All: true, After: seen, Most: 700})
		must(t, err)
		for _, line := range lines {
			if line.Seq != seen+1 {
				t.Fatalf("line %d after %d", line.Seq, seen)
			}
			seen = line.Seq
		}
	}
	if seen != 10_001 {
		t.Errorf("the pages end at %d", seen)
	}
}

// A log that changes under an open server is said so, not shown.
func TestAChangedLogIsNotShown(t *testing.T) {
	disk := newDisk()
	l := mustOpen(t, disk, &memoryMark{}, fileBytes)
	must(t, change(l, deleted(alice, dataset)))
	disk.mu.Lock()
	disk.files[FileName].content[3] = 'x'
	disk.mu.Unlock()
	if _, _, err := l.List(context.Background(), Query{All: true, Most: 10}); err == nil || !strings.Contains(err.Error(), "has changed since") {
		t.Errorf("got %v", err)
	}
}

// SECURITY: the log knows on which dataset a run is that somebody named and may not see. They learn neither that there is one, nor which.
func TestWhatIsHiddenIsNotReadOffOnesOwnEntries(t *testing.T) {
	l := mustOpen(t, newDisk(), &memoryMark{}, fileBytes)
	run := strings.Repeat("e", 32)
	must(t, change(l, Entry{User: bob, Action: "TrainingService.DownloadWeights", Dataset: dataset, Run: run, Reason: notFound}))
	for name, test := range map[string]struct {
		query Query
		want  []string // datasets of what is told
	}{
		"to bob":                    {Query{User: bob}, []string{""}},
		"to bob, who names it":      {Query{User: bob, Dataset: dataset}, nil},
		"to its owner":              {Query{User: alice, Datasets: map[string]bool{dataset: true}}, []string{dataset}},
		"to its owner, who asks it": {Query{User: alice, Datasets: map[string]bool{dataset: true}, Dataset: dataset}, []string{dataset}},
		"to the operator":           {Query{All: true, Dataset: dataset}, []string{dataset}},
	} {
		test.query.Most = 10
		lines, _, err := l.List(t.Context(), test.query)
		var got []string
		for _, line := range lines {
			got = append(got, line.Dataset)
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
