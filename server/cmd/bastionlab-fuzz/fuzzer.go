//go:build linux

package main

import (
	"bytes"
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/archivefuzz"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// fuzzer is a run of the program.
type fuzzer struct {
	settings
	mutator   *archivefuzz.Mutator
	operators program.Table
	journal   *journal
	whole     *whole
	child     *child
	honest    *archivefuzz.Sample
	seen      map[string]bool // keys of outcomes
	behind    int             // archives since the last that went through the supervisor
}

// one makes a mutant and sees it through.
func (f *fuzzer) one(number uint64) {
	mutant := f.mutator.Mutant(number)
	f.journal.number = number
	result := f.inspect(mutant)
	f.journal.count(result.stage)
	if f.isNew(result) && result.stage != refusedOutside {
		f.mutator.Keep(mutant, result.admitted())
	}
	if result.admitted() {
		f.train(mutant, result, number)
	}
	if result.stage == refusedOutside {
		return
	}
	f.behind++
	if f.behind >= f.wholeEvery || result.stage == diedInIntake {
		f.behind = 0
		f.throughSupervisor(mutant, result)
	}
}

// isNew says whether an archive did what none before it did.
func (f *fuzzer) isNew(result inspection) bool {
	fresh := false
	for _, key := range result.keys() {
		if !f.seen[key] {
			f.seen[key], fresh = true, true
		}
	}
	return fresh
}

// inspect does what the server does with an archive, with a process that reads one after the other.
func (f *fuzzer) inspect(sample archivefuzz.Sample) inspection {
	if _, err := program.CheckArchive(bytes.NewReader(sample.Archive), int64(len(sample.Archive)), program.DefaultArchiveLimits()); err != nil {
		if refusal.KindOf(err) != refusal.InvalidArgument {
			f.journal.defect("the check of the outside failed otherwise than by refusing", sample, err.Error())
		}
		return inspection{stage: refusedOutside, reason: err.Error()}
	}
	result := f.child.intake(sample)
	switch result.stage {
	case diedInIntake:
		f.journal.observe("intake died: "+result.reason, sample, result.words)
	case hungInIntake:
		f.journal.observe("intake hung", sample, result.words)
	case refusedByIntake:
		if result.internal {
			f.journal.observe("intake refused without a reason", sample, result.words)
		}
	case brokeProtocol:
		f.journal.defect("intake broke the protocol: "+result.reason, sample, result.words)
	case answered:
		f.judge(sample, &result)
	}
	return result
}

// judge does with a program what the server does, and holds it to what is promised of it.
func (f *fuzzer) judge(sample archivefuzz.Sample, result *inspection) {
	scanned, err := program.Scan(bytes.NewReader(result.payload), int64(len(result.payload)))
	if err != nil {
		result.stage = unsound
		f.journal.defect("an honest intake wrote what cannot be read: "+err.Error(), sample, "")
		return
	}
	if err := scanned.Judge(f.operators, sample.Schema, sample.Loss); err != nil {
		result.stage, result.reason = refusedByJudge, err.Error()
		if refusal.KindOf(err) != refusal.IncompatibleModel {
			f.journal.defect("an honest intake wrote what is refused without a kind: "+err.Error(), sample, "")
		}
		return
	}
	if _, err := scanned.Report(result.report); err != nil {
		result.stage = unsound
		f.journal.defect("an admitted program has no report: "+err.Error(), sample, fmt.Sprint(result.report))
		return
	}
	result.graph = scanned.Graph
	result.stage = admitted
	decoded, err := program.Decode(result.payload)
	if err != nil {
		f.journal.defect("scanned, but not decoded: "+err.Error(), sample, "")
		return
	}
	if err := decoded.Judge(f.operators, sample.Schema, sample.Loss); err != nil {
		f.journal.defect("judged in two ways: "+err.Error(), sample, "")
	}
	var again bytes.Buffer
	if err := program.Write(&again, decoded.Graph, decoded.Tensors); err != nil || !bytes.Equal(again.Bytes(), result.payload) {
		f.journal.defect(fmt.Sprintf("written again it is another file (%v)", err), sample, "")
	}
}

// replay sends every sample the whole way.
func (f *fuzzer) replay(samples []archivefuzz.Sample) {
	for i, sample := range samples {
		f.journal.number = uint64(i)
		result := f.inspect(sample)
		fmt.Printf("%s: %s %s %s\n", sample.Name, result.stage, result.operator, firstLine(result.reason))
		if result.admitted() {
			for number := range uint64(3) {
				f.train(sample, result, number)
			}
		}
		payload, err := f.whole.takeIn(sample)
		fmt.Printf("%s: through the supervisor %d bytes, %v\n", sample.Name, len(payload), err)
		if err == nil {
			fmt.Printf("%s: trained through the supervisor: %v\n", sample.Name, f.whole.train(sample, payload))
		}
	}
}
