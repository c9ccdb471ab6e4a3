//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/archivefuzz"
)

// journal keeps what was found, and counts.
type journal struct {
	directory string
	number    uint64
	begun     time.Time
	told      time.Time
	counts    map[stage]int
	kept      map[string]int // samples of each kind of finding
	defective map[string]int
	ground    *traces
	mostBytes int64
}

// samplesOfAKind: more of the same tell nothing new.
const samplesOfAKind = 4

func newJournal(directory string, first uint64) *journal {
	return &journal{directory: directory, number: first, begun: time.Now(), told: time.Now(), counts: map[stage]int{}, kept: map[string]int{}, defective: map[string]int{}}
}

func (j *journal) restart() { j.begun, j.counts = time.Now(), map[stage]int{} }

const tellEvery = time.Minute

func (j *journal) count(what stage) {
	j.counts[what]++
	if time.Since(j.told) > tellEvery {
		j.told = time.Now()
		fmt.Println(j.line())
	}
}

func (j *journal) line() string {
	parts := []string{time.Since(j.begun).Round(time.Second).String()}
	for _, what := range slices.Sorted(maps.Keys(j.counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", what, j.counts[what]))
	}
	return strings.Join(parts, "; ")
}

// defect is something that must not happen.
func (j *journal) defect(what string, sample archivefuzz.Sample, words string) {
	j.defective[kindOf(what)]++
	j.keep("defect", what, sample, words)
}

// observe is something that may happen and is worth a look.
func (j *journal) observe(what string, sample archivefuzz.Sample, words string) {
	j.keep("seen", what, sample, words)
}

func kindOf(what string) string {
	kind := numberForm.ReplaceAllString(what, "#")
	return kind[:min(len(kind), 120)]
}

func (j *journal) keep(sort, what string, sample archivefuzz.Sample, words string) {
	kind := kindOf(what)
	if strings.HasPrefix(what, "intake died") || strings.HasPrefix(what, "an admitted program ended") {
		kind += " " + kindOf(lastLine(words))
	}
	j.kept[sort+": "+kind]++
	if j.kept[sort+": "+kind] > samplesOfAKind {
		return
	}
	name := fmt.Sprintf("%s-%d-%d", sort, j.number, len(j.kept))
	text := fmt.Sprintf("%s\nmutant %d of %s\n%s\n", what, j.number, sample.Name, words)
	if err := sample.Save(j.directory, name); err != nil {
		fmt.Fprintln(os.Stderr, "bastionlab-fuzz:", err)
	}
	if err := os.WriteFile(filepath.Join(j.directory, name+".txt"), []byte(text), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "bastionlab-fuzz:", err)
	}
	fmt.Printf("%s: %s (%s, of %s)\n", sort, what, name, sample.Name)
}

// keepTaken writes the newest mutants that were taken and did something new, for others to begin with.
func (j *journal) keepTaken(taken []archivefuzz.Sample) error {
	directory := filepath.Join(j.directory, "taken")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	for i, sample := range taken[max(0, len(taken)-mostTaken):] {
		if err := sample.Save(directory, fmt.Sprintf("taken-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

const mostTaken = 500

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func (j *journal) defects() int {
	total := 0
	for _, count := range j.defective {
		total += count
	}
	return total
}

func (j *journal) summary(taken, strange int) {
	fmt.Println(j.line())
	fmt.Printf("kept %d that were taken and %d that were not; resident at most %d MiB; %d defects\n", taken, strange, j.mostBytes>>20, j.defects())
	for _, kind := range slices.Sorted(maps.Keys(j.kept)) {
		fmt.Printf("%6d  %s\n", j.kept[kind], kind)
	}
}
