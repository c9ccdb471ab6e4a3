package server

import "time"

// What one client may ask of the transport. None of it is a setting: each only bounds what a hostile client can hold.
const (
	// maxMessageBytes holds one batch of records, of which a single one may have 64 MiB, and what is around them.
	maxMessageBytes = 66 << 20
	// maxRequestBytes holds everything else that a client sends: chunks of 1 MiB and what is around them.
	maxRequestBytes = 2 << 20
	// MaxAnswerBytes bounds what the server sends in one message: listings, not weights, which travel in chunks. Clients must take as much.
	MaxAnswerBytes = 16 << 20
	// downloadChunkBytes stays well under the 4 MiB that gRPC clients take by default.
	downloadChunkBytes = 1 << 20

	maxHeaderBytes       = 16 << 10
	maxStreams           = 32   // of one connection
	maxStrangers         = 1024 // connections on which nobody has signed in, and as many that have no keys yet
	maxKnown             = 1024 // connections of callers who signed in, in all
	maxKnownOfUser       = 256
	maxLocal             = 1024 // connections of the operator
	maxUploads           = 8    // datasets and models together, of all clients
	maxUploadsOfUser     = 2
	maxKept              = 4 // uploads whose stream was cut, of those above
	maxKeptOfUser        = 1
	maxTokenBytes        = 512
	maxClientVersionText = 64

	handshakeTimeout = 10 * time.Second
	pingAfter        = 60 * time.Second // of silence: finds clients that vanished without a word
	pingTimeout      = 20 * time.Second
	minClientPing    = 10 * time.Second
	// requestTime is how long the request of a call other than an upload may take to arrive.
	requestTime = 30 * time.Second
	// connectionIdle is how long a connection without a call is kept. Clients open another by themselves.
	connectionIdle = 15 * time.Minute
	// uploadIdle is how long an upload may pause before it is dropped, in all, unless what it brings makes up for it.
	uploadIdle = 2 * time.Minute
	// keepUpload is how long an upload whose stream was cut waits for another.
	keepUpload = 10 * time.Minute
	// uploadBytesPerSecond is what an upload must bring on average. A telephone line does.
	uploadBytesPerSecond = 16 << 10
)
