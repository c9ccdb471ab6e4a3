package trainer

import (
	"errors"
	"fmt"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// records lie in memory one after the other.
type records struct {
	bytes []byte
	count int64
}

// receiveRecords waits for the records of a dataset of so many slots, and for what comes beside them.
func (p *Process) receiveRecords(recordBytes, slots int64, beside int) (*records, []*os.File, error) {
	var request trainerv1.ToTrainer
	files, err := p.Seam.Receive(&request)
	if err != nil {
		return nil, nil, err
	}
	data := request.GetData()
	if data == nil || len(files) != 1+beside {
		closeAll(files)
		return nil, nil, errors.New("expected the records")
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
	return &records{bytes: mapped, count: data.GetRecords()}, files[1:], nil
}

func checkRecords(data *trainerv1.Data, mappedBytes, recordBytes, slots int64) error {
	count := data.GetRecords()
	if data.GetRecordBytes() != recordBytes || count < 1 || count > slots || mappedBytes%recordBytes != 0 || mappedBytes/recordBytes != count {
		return fmt.Errorf("records do not have the layout of the schema")
	}
	return nil
}
