package trainer

import (
	"fmt"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// rehearsalSlots is the smallest pass in which one record could reach another.
const rehearsalSlots = 2

// intake judges one model. No data comes near it.
func (p *Process) intake() (*trainerv1.FromTrainer, error) {
	var request trainerv1.ToTrainer
	files, err := p.Seam.Receive(&request)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	wanted := request.GetIntake().GetProgram()
	if wanted == nil || len(files) != 1 {
		return nil, badRequest("expected a model and its archive")
	}
	program, err := p.load(wanted, files[0])
	if err != nil {
		return nil, err
	}
	defer program.Close()
	if err := program.Rehearse(rehearsalSlots); err != nil {
		return nil, err
	}
	report, err := program.Report()
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	report.ProgramSha256 = wanted.GetPayloadSha256()
	return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_IntakeDone{
		IntakeDone: &trainerv1.IntakeDone{Program: wanted, Report: report},
	}}, nil
}
