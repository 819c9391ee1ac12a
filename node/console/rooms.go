package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RoomPage is a part of the list of rooms.
type RoomPage struct {
	Rooms   []Room `json:"rooms"`
	Total   int    `json:"total"`   // rooms of the mesh
	Matched int    `json:"matched"` // those among them that were searched for
	Offset  int    `json:"offset"`
}

// roomQuery says which rooms are asked for.
type roomQuery struct {
	search        string // in id, description and community, whatever the case; "" finds all
	byName        bool   // sorted by id; else the fullest first
	offset, limit int
}

const (
	defaultRoomLimit = 50
	maxRoomLimit     = 500
	maxSearch        = 200 // bytes
)

// readRoomQuery reads a request's; ok is false for one that asks for the whole list.
func readRoomQuery(v url.Values) (q roomQuery, ok bool, err error) {
	for _, name := range []string{"search", "sort", "offset", "limit"} {
		ok = ok || v.Has(name)
	}
	q = roomQuery{search: strings.ToLower(strings.TrimSpace(v.Get("search"))), limit: defaultRoomLimit}
	if len(q.search) > maxSearch {
		return q, ok, errors.New("search: at most 200 bytes")
	}
	switch v.Get("sort") {
	case "", "participants":
	case "room":
		q.byName = true
	default:
		return q, ok, errors.New("sort: want participants or room")
	}
	for name, into := range map[string]*int{"offset": &q.offset, "limit": &q.limit} {
		if text := v.Get(name); text != "" {
			if *into, err = strconv.Atoi(text); err != nil || *into < 0 {
				return q, ok, errors.New(name + ": want a number from 0 on")
			}
		}
	}
	q.limit = min(q.limit, maxRoomLimit)
	return q, ok, nil
}

// page picks the rooms that are asked for. all is not changed.
func (q roomQuery) page(all []Room) RoomPage {
	p := RoomPage{Total: len(all), Offset: q.offset}
	found := make([]*Room, 0, len(all))
	for i := range all {
		if q.finds(&all[i]) {
			found = append(found, &all[i])
		}
	}
	p.Matched = len(found)
	slices.SortStableFunc(found, func(a, b *Room) int {
		if c := cmp.Compare(b.Participants, a.Participants); c != 0 && !q.byName {
			return c
		}
		return cmp.Or(cmp.Compare(a.Plugin, b.Plugin), compareIDs(a.Room, b.Room))
	})
	from := min(q.offset, len(found))
	to := from + min(q.limit, len(found)-from)
	p.Rooms = make([]Room, 0, to-from)
	for _, r := range found[from:to] {
		p.Rooms = append(p.Rooms, *r)
	}
	return p
}

func (q roomQuery) finds(r *Room) bool {
	if q.search == "" {
		return true
	}
	for _, text := range [...]string{r.Room, r.Description, r.CommunityID} {
		if strings.Contains(strings.ToLower(text), q.search) {
			return true
		}
	}
	return false
}

// compareIDs puts numbers in the order of numbers, and before names.
func compareIDs(a, b string) int {
	x, err1 := strconv.ParseUint(a, 10, 64)
	y, err2 := strconv.ParseUint(b, 10, 64)
	switch {
	case err1 == nil && err2 == nil:
		return cmp.Compare(x, y)
	case err1 == nil:
		return -1
	case err2 == nil:
		return 1
	}
	return strings.Compare(a, b)
}

// roomsAge is how old a list may be that pages are cut from: a list of all rooms takes every node to make.
const roomsAge = 5 * time.Second

// handleRooms adds the list of rooms to the API.
func handleRooms(closed func(pattern string, h http.HandlerFunc), list func(context.Context) []Room) {
	kept := fresh[[]Room]{age: roomsAge, load: list}
	asking := make(turns, gatherings)
	closed("GET /api/v1/rooms", func(w http.ResponseWriter, r *http.Request) {
		q, paged, err := readRoomQuery(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if !paged {
			back, err := asking.take(r.Context())
			if err != nil {
				return // whoever asked is gone
			}
			all := func() []Room {
				defer back() // before who reads slowly has read it all
				return list(r.Context())
			}()
			answer(w, Rooms{all})
			return
		}
		all, err := kept.get(r.Context())
		if err != nil {
			return // whoever asked is gone
		}
		answer(w, q.page(all))
	})
}
