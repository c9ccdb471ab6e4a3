package planning

const (
	startSeconds              = 3    // a process, libtorch, the model
	operationsPerSecond       = 1e10 // of float32 on a few cores, as an engine that computes per record gets them
	operationsPerParameter    = 6    // per record: two forward, four backward
	noiseSecondsPerParameter  = 1e-8 // a Gaussian from a CSPRNG and the optimizer's step
	parametersWhereNotKnown   = 1_000_000
	passesBeyondExpectedBatch = 0.5 // the last pass of a step is padded; half of it on average
)

// parametersOf is how many numbers a model is taken to have.
func parametersOf(known int64) float64 {
	if known <= 0 {
		return parametersWhereNotKnown
	}
	return float64(known)
}

// estimateTestSeconds is that of one forward pass for each slot.
func estimateTestSeconds(r TestRequest) float64 {
	const operations, passSeconds = 2, 3e-4 // per parameter; of a pass, however small
	return startSeconds + float64(r.Declared)*(passSeconds+operations*parametersOf(r.Parameters)/operationsPerSecond)
}

// estimateSeconds is
//
//	start + steps * (batch + max_batch/2) / (records per second) + steps * parameters * (seconds of noise per parameter)
//
// where records per second, unless measured, is operationsPerSecond / (6 * parameters). A model that uses its parameters at several positions of a
// record, as those for text do, takes longer by their number. It tells seconds from hours, and no more. Of a GPU no figure is known, and so 0.
func estimateSeconds(p Plan, r Request) float64 {
	if p.Device != "" {
		return 0
	}
	parameters := parametersOf(r.Parameters)
	rate := r.RecordsPerSecond
	if !(rate > 0) {
		rate = operationsPerSecond / (operationsPerParameter * parameters)
	}
	records := float64(p.BatchSize) + passesBeyondExpectedBatch*float64(min(p.MaxBatchSize, r.Declared))
	if p.PassesPerStep > 0 {
		records = float64(p.PassesPerStep) // of one record each
	}
	seconds := records / rate
	if p.Private {
		seconds += parameters * noiseSecondsPerParameter
	}
	return startSeconds + float64(p.Steps)*seconds
}
