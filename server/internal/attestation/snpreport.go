package attestation

// Where the fields of an SEV-SNP attestation report lie ("SEV Secure Nested Paging Firmware ABI Specification", table 23 and following).
const (
	ReportBytes = 0x4A0
	SignedBytes = 0x2A0 // the signature is over these

	offsetVersion     = 0x00
	offsetGuestPolicy = 0x08
	offsetAlgorithm   = 0x34
	offsetCurrentTCB  = 0x38
	offsetPlatform    = 0x40
	offsetReportData  = 0x50
	offsetMeasurement = 0x90
	offsetReportedTCB = 0x180
	offsetCPUID       = 0x188
	offsetChipID      = 0x1A0
	offsetCommitted   = 0x1E0
	offsetLaunchTCB   = 0x1F0
	offsetSignature   = 0x2A0
	signatureInt      = 72 // R and S, little endian
)
