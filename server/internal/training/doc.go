// Package training lives a run's life: its price, its place in the queue, its trainer, its end.
//
// The order of a run is the privacy claim, and each step is durable before the next begins:
//
//	Start    the ledger reserves the whole charge; only then is the run known and queued
//	prepare  a trainer is up, sandboxed, with the model and without data; a failure here releases the charge
//	give     the ledger records that the data are given; from here on nothing is ever released
//	train    the trainer has the records; before each epoch its state is durable, the samples of its steps included, and what is told of the
//	         epoch before is told only then
//	repeat   an attempt that ends without a result is repeated from the last state, with its samples, under fresh keys: once, then when the
//	         owner of the dataset approves. A server that died counts like a trainer that did
//	seal     the weights lie encrypted in a blob, their digest in the run's row
//	settle   the ledger records "completed"; only then is the run completed and may its weights leave
//
// Invariants: no record reaches a trainer before its charge is durable; a crash at any point overcharges at worst; what people read about a
// failure comes from a fixed list before the data are given, and is one fixed text after; progress is coarse.
//
// Non-goals: nothing is computed about privacy here (accounting and planning do), and no process is handled here (supervisor does).
package training
