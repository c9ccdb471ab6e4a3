package trainer

import (
	"errors"
	"fmt"
	"io"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
)

// rehearsalSlots is the smallest pass in which one record could reach another.
const rehearsalSlots = 2

// intake turns one archive into a canonical program and tries it. No data comes near it.
func (p *Process) intake() (*trainerv1.FromTrainer, error) {
	var request trainerv1.ToTrainer
	files, err := p.Seam.Receive(&request)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	wanted := request.GetIntake()
	if wanted == nil || len(files) != 2 {
		return nil, badRequest("expected an archive and an output")
	}
	archive, err := announcedBytes(files[0], "archive", wanted.GetArchiveSha256(), wanted.GetArchiveBytes())
	if err != nil {
		return nil, err
	}
	reading, err := p.Engine.Read(archive, wanted.GetSchema(), p.Operators.Allowed())
	if err != nil {
		return nil, err
	}
	defer reading.Close()
	canonical, err := canonicalOf(reading, wanted)
	if err != nil {
		return nil, err
	}
	size, err := p.writeProgram(canonical, files[1])
	if err != nil {
		return nil, err
	}
	report, err := p.try(canonical)
	if err != nil {
		return nil, err
	}
	return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_IntakeDone{
		IntakeDone: &trainerv1.IntakeDone{ProgramBytes: size, Report: report},
	}}, nil
}

// canonicalOf is what was read, for the schema and the loss that were asked for. Its tensors are valid as long as the reading.
func canonicalOf(reading Reading, wanted *trainerv1.Intake) (program.Canonical, error) {
	graph, err := reading.Graph()
	if err != nil {
		return program.Canonical{}, fmt.Errorf("graph: %w", err)
	}
	tensors, err := reading.Tensors()
	if err != nil {
		return program.Canonical{}, fmt.Errorf("tensors: %w", err)
	}
	graph.Schema, graph.Loss = wanted.GetSchema(), wanted.GetLoss()
	return program.Canonical{Graph: graph, Tensors: tensors}, nil
}

// writeProgram puts the program into the output. What the process may not write is refused before a byte of it.
func (p *Process) writeProgram(canonical program.Canonical, output *os.File) (int64, error) {
	size, err := program.Size(canonical.Graph, canonical.Tensors)
	if errors.Is(err, program.ErrTooLarge) {
		return 0, refuse(trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, "unrolled, it has more steps, operands or tensors than a program may have")
	}
	if err != nil {
		return 0, err
	}
	if size > p.OutputLimitBytes {
		return 0, refuse(trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, "its constants take %d bytes, far more than its archive", size)
	}
	return size, program.Write(io.NewOffsetWriter(output, 0), canonical.Graph, canonical.Tensors)
}

// try builds the program that was written, as a run will, and goes through a pass of it.
func (p *Process) try(canonical program.Canonical) (*bastionlabv1.CapabilityReport, error) {
	built, err := p.Engine.Build(canonical.Graph, canonical.Tensors, p.Operators.Allowed())
	if err != nil {
		return nil, err
	}
	defer built.Close()
	if err := built.Rehearse(rehearsalSlots); err != nil {
		return nil, err
	}
	report, err := built.Report()
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return report, nil
}
