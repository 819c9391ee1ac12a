package farewell

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask begins to watch for a session's client.
func ask(ctx context.Context, w *Watch, session string) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1)
	r := httptest.NewRequest(http.MethodGet, "/nearest/watch?session="+session, nil).WithContext(ctx)
	go func() {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		answer <- rec
	}()
	synctest.Wait()
	return answer
}

func known(session uint64) bool { return session < 10 }

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(known, 100)
		begun := time.Now()
		var clients []<-chan *httptest.ResponseRecorder
		for _, s := range []int{3, 1, 2} {
			clients = append(clients, ask(t.Context(), w, strconv.Itoa(s)))
		}
		if got := w.Waiting(); !slices.Equal(got, []uint64{3, 1, 2}) {
			t.Errorf("waiting: %v", got)
		}
		if !w.Tell(1) || w.Tell(1) || w.Tell(7) {
			t.Error("the wrong ones were told")
		}
		a := <-clients[1]
		if a.Code != http.StatusOK || a.Body.String() != "{\"move\":true}\n" {
			t.Errorf("told: %d %q %v", a.Code, a.Body, a.Header())
		}
		for _, i := range []int{0, 2} {
			if a := <-clients[i]; a.Code != http.StatusNoContent || time.Since(begun) != Hold {
				t.Errorf("not told: %d after %v", a.Code, time.Since(begun))
			}
		}
		if got := w.Waiting(); len(got) > 0 {
			t.Errorf("still waiting: %v", got)
		}
	})
}

// TestLastMoment tells clients in the moment in which they have waited long enough: who counts as told was told.
func TestLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(known, 100)
		for range 50 {
			client := ask(t.Context(), w, "1")
			time.Sleep(Hold)
			told := w.Tell(1)
			if a := <-client; (a.Code == http.StatusOK) != told {
				t.Fatalf("told: %v, answered %d", told, a.Code)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(known, 2)
		for name, tt := range map[string]struct {
			session string
			code    int
		}{
			"no session":        {"", http.StatusNotFound},
			"not a number":      {"x", http.StatusNotFound},
			"an unknown one":    {"10", http.StatusNotFound},
			"negative":          {"-1", http.StatusNotFound},
			"longer than 64":    {"18446744073709551616", http.StatusNotFound},
			"escaped rubbish %": {"%251", http.StatusNotFound},
		} {
			if a := <-ask(t.Context(), w, tt.session); a.Code != tt.code {
				t.Errorf("%s: %d", name, a.Code)
			}
		}
		gone, cancel := context.WithCancel(t.Context())
		first := ask(t.Context(), w, "1")
		second := ask(gone, w, "2")
		if a := <-ask(t.Context(), w, "3"); a.Code != http.StatusServiceUnavailable {
			t.Errorf("one too many: %d", a.Code)
		}
		again := ask(t.Context(), w, "1")
		if a := <-first; a.Code != http.StatusNoContent {
			t.Errorf("replaced: %d", a.Code)
		}
		cancel() // a client that goes makes room
		<-second
		third := ask(t.Context(), w, "3")

		ctx, stop := context.WithCancel(t.Context())
		stop()
		_ = w.Run(ctx)
		for _, c := range []<-chan *httptest.ResponseRecorder{again, third} {
			if a := <-c; a.Code != http.StatusNoContent {
				t.Errorf("at the end: %d", a.Code)
			}
		}
		if a := <-ask(t.Context(), w, "1"); a.Code != http.StatusServiceUnavailable {
			t.Errorf("after the end: %d", a.Code)
		}
	})
}
