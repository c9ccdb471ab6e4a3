package sandbox

// architecture lists calls that have a name of their own here.
var architecture []string

const goThreadFlags = sharedByThreads
