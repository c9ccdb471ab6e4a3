package sandbox

// architecture lists calls that have a name of their own here.
var architecture []string

// cudaArchitecture is the same, of what a GPU's driver calls.
var cudaArchitecture []string

const goThreadFlags = sharedByThreads
