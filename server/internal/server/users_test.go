package server

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// SECURITY: however many keys came in development mode, the list of users is one message, and nobody who was registered is missing.
func TestGuestsDoNotMakeTheListOfUsersTooLong(t *testing.T) {
	const registered, guests = 10_000, 100_000
	var rows []storage.UserRow
	for i := range registered + guests {
		row := storage.UserRow{ID: fmt.Sprintf("%064x", i), PublicKey: make([]byte, 91), AddedUnixMS: 1_790_000_000_000, LastSeenUnixMS: 1_790_000_000_000}
		if i%11 == 5 {
			row.Roles, row.Name = 7, fmt.Sprintf("%0128d", i)
		}
		rows = append(rows, row)
	}
	answer, of, newest := &bastionlabv1.ListUsersResponse{}, map[bool]int{}, ""
	for _, row := range listed(rows) {
		answer.Users = append(answer.Users, userOfRow(row))
		of[row.Roles != 0]++
		newest = row.ID
	}
	if of[true] != registered || of[false] != maxListedGuests || newest != rows[len(rows)-1].ID {
		t.Errorf("listed %d who are registered and %d guests, to %s", of[true], of[false], newest)
	}
	if size := proto.Size(answer); size > MaxAnswerBytes/2 {
		t.Errorf("%d bytes", size)
	}
	few := []storage.UserRow{{ID: "guest"}, {ID: "registered", Roles: 1}, {ID: "revoked", Roles: 1, Revoked: true}}
	if len(listed(few)) != len(few) {
		t.Errorf("of few %v are listed", listed(few))
	}
}
