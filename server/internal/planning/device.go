package planning

// The devices that a run can compute on, as requests name them.
const (
	CPU  = "cpu"
	CUDA = "cuda"
)

// chargedDevices are what a charge can say: nothing is the CPU, as in the charges of releases that had no other, and the CPU has no second name.
var chargedDevices = []string{"", CUDA}

// device is what a plan says: nothing is the CPU.
func (r Request) device() string {
	if r.Device == CPU {
		return ""
	}
	return r.Device
}

// DeviceOf is what a charged run computes on; empty where that is the CPU, or cannot be read.
func DeviceOf(charge []byte) string {
	c, err := decode(charge)
	if err != nil {
		return ""
	}
	return c.GetDevice()
}
