package trainer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// records is what the run trains on, and where what it makes goes.
type records struct {
	bytes  []byte
	count  int64
	data   *trainerv1.Data
	output *os.File
	state  *os.File // takes the first state that this attempt writes
	resume *os.File // the state that an earlier attempt left; nil: there is none
}

func (r *records) close() {
	for _, file := range []*os.File{r.output, r.state, r.resume} {
		if file != nil {
			file.Close()
		}
	}
}

func (p *Process) receiveRecords(run *run) (*records, error) {
	var request trainerv1.ToTrainer
	files, err := p.Seam.Receive(&request)
	if err != nil {
		return nil, err
	}
	data := request.GetData()
	resumes := len(data.GetResumedSha256()) > 0
	wanted := 3
	if resumes {
		wanted++
	}
	if data == nil || len(files) != wanted || len(data.GetRun()) != runBytes {
		closeAll(files)
		return nil, errors.New("expected the records, an output, a state and perhaps a state to go on from")
	}
	mapped, err := mapSealed(files[0])
	files[0].Close()
	if err == nil {
		err = checkRecords(data, int64(len(mapped)), run)
	}
	if err != nil {
		closeAll(files[1:])
		return nil, err
	}
	received := &records{bytes: mapped, count: data.GetRecords(), data: data, output: files[1], state: files[2]}
	if resumes {
		received.resume = files[3]
	}
	return received, nil
}

func checkRecords(data *trainerv1.Data, mappedBytes int64, run *run) error {
	count := data.GetRecords()
	if data.GetRecordBytes() != run.recordBytes || count < 1 || count > run.settings.GetSlots() ||
		mappedBytes%run.recordBytes != 0 || mappedBytes/run.recordBytes != count {
		return fmt.Errorf("records do not have the layout of the schema")
	}
	return nil
}

// newEpochs begins a run, or goes on where an earlier attempt was.
func (p *Process) newEpochs(run *run, records *records) (*epochs, error) {
	settings := run.settings
	e := &epochs{
		process: p, trainer: run.trainer, schedule: schedule.New(settings.GetEpochEnds()), run: records.data.GetRun(), output: records.state, remembered: run.remembered,
		sampler: newSampler(rand.Reader, settings.GetInclusionThreshold(), includesAll(settings.GetIncludeAll()), settings.GetSlots()),
	}
	e.sampleBytes = e.schedule.SampleBytes(settings.GetInclusionThreshold(), settings.GetSlots())
	if records.resume == nil {
		return e, nil
	}
	return e, e.resume(records.data, records.resume)
}
