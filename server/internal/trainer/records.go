package trainer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// records lie in memory one after the other.
type records struct {
	bytes []byte
	count int64
	data  *trainerv1.Data // as it was announced
}

// receiveRecords waits for the records of a dataset of so many slots, and for the files that come beside them.
func (p *Process) receiveRecords(recordBytes, slots int64, beside func(*trainerv1.Data) int) (*records, []*os.File, error) {
	var request trainerv1.ToTrainer
	files, err := p.Seam.Receive(&request)
	if err != nil {
		return nil, nil, err
	}
	data := request.GetData()
	if data == nil || len(files) != 1+beside(data) {
		closeAll(files)
		return nil, nil, errors.New("expected the records, with what the role needs beside them and nothing else")
	}
	mapped, err := mapSealed(files[0])
	files[0].Close()
	if err == nil {
		err = checkRecords(data, int64(len(mapped)), recordBytes, slots)
	}
	if err != nil {
		closeAll(files[1:])
		return nil, nil, err
	}
	return &records{bytes: mapped, count: data.GetRecords(), data: data}, files[1:], nil
}

func checkRecords(data *trainerv1.Data, mappedBytes, recordBytes, slots int64) error {
	count := data.GetRecords()
	if data.GetRecordBytes() != recordBytes || count < 1 || count > slots || mappedBytes%recordBytes != 0 || mappedBytes/recordBytes != count {
		return fmt.Errorf("records do not have the layout of the schema")
	}
	return nil
}

// given is what a training run is given.
type given struct {
	*records
	output *os.File // takes what the run makes
	state  *os.File // takes the first state that this attempt writes
	resume *os.File // the state that an earlier attempt left; nil: there is none
}

func (g *given) close() {
	for _, file := range []*os.File{g.output, g.state, g.resume} {
		if file != nil {
			file.Close()
		}
	}
}

// besideTraining counts the files beside the records of a training run: an output, one for a state, and perhaps a state to go on from.
func besideTraining(data *trainerv1.Data) int {
	if len(data.GetResumedSha256()) > 0 {
		return 3
	}
	return 2
}

func (p *Process) receiveGiven(run *run) (*given, error) {
	records, files, err := p.receiveRecords(run.recordBytes, run.settings.GetSlots(), besideTraining)
	if err != nil {
		return nil, err
	}
	if len(records.data.GetRun()) != runBytes {
		closeAll(files)
		return nil, errors.New("expected the name of the run")
	}
	received := &given{records: records, output: files[0], state: files[1]}
	if len(files) == 3 {
		received.resume = files[2]
	}
	return received, nil
}

// newEpochs begins a run, or goes on where an earlier attempt was.
func (p *Process) newEpochs(run *run, given *given) (*epochs, error) {
	settings := run.settings
	e := &epochs{
		process: p, trainer: run.trainer, schedule: schedule.Of(settings), run: given.data.GetRun(), output: given.state, remembered: run.remembered,
		sampler: newSampler(rand.Reader, settings.GetInclusionThreshold(), includesAll(settings.GetIncludeAll()), settings.GetSlots()),
	}
	e.sampleBytes = e.schedule.SampleBytes(settings.GetInclusionThreshold(), settings.GetSlots())
	if given.resume == nil {
		return e, nil
	}
	return e, e.resume(given.data, given.resume)
}
