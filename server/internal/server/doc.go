// Package server puts the domain behind gRPC: it says who is calling, hands the call on, and turns what comes back into messages.
//
// Invariants:
//   - every call of every service but the health check passes one gate: protocol number, then token, then the table of
//     methods (see permission), and only then is a request read; a call whose caller is revoked while it is open ends;
//   - what this protocol does not know of a request is dropped where it is read;
//   - what a client reads about a failure is a *refusal.Error made where the decision fell, or one fixed text; the real error goes to
//     the log and nowhere else;
//   - the log names methods, users, codes and durations, never a payload;
//   - what a call did is in the audit log before anything of its answer leaves, and a change that could not be noted is not begun;
//   - a handler decodes, calls one function of the domain and encodes: it decides nothing.
//
// Non-goals: what a permission depends on - datasets, runs - is not judged here, nothing is stored here, and there is no call by which anybody downloads records.
package server
