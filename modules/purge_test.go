package modules

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPurgeKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Later
		var p Purge
		if p.Status() != "Operation not started" || p.Abort() != "No task running" {
			t.Errorf("before: %s", p.Status())
		}
		left, begun := int64(25), time.Now()
		remove := func(_ context.Context, limit int) (int64, error) {
			n := min(left, int64(limit))
			left -= n
			return n, nil
		}
		if err := p.Start(t.Context(), &l, Batches{BatchSize: 10, Rate: 10}, remove); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p.Status() != "Operation in progress, deleted 10 messages" || p.Start(t.Context(), &l, Batches{1, 1}, remove) == nil {
			t.Errorf("meanwhile: %s", p.Status())
		}
		l.Close()
		if took := time.Since(begun); left != 0 || took != 2*time.Minute || p.Status() != "Operation finished, deleted 25 messages" {
			t.Errorf("%d are left after %s: %s", left, took, p.Status())
		}
		if p.Start(t.Context(), &l, Batches{1, 1}, remove) == nil {
			t.Error("one was started after the end")
		}
	})
}

func TestPurgeCanBeAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Later
		var p Purge
		full := func(_ context.Context, limit int) (int64, error) { return int64(limit), nil }
		if err := p.Start(t.Context(), &l, Batches{BatchSize: 5, Rate: 1}, full); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p.Abort() != "Operation aborted" {
			t.Error("it goes on")
		}
		synctest.Wait()
		if p.Status() != "Operation aborted, deleted 5 messages" || p.Abort() != "No task running" {
			t.Errorf("after: %s", p.Status())
		}
		fails := func(context.Context, int) (int64, error) { return 0, errors.New("no database") }
		if err := p.Start(t.Context(), &l, Batches{BatchSize: 5, Rate: 1}, fails); err != nil {
			t.Fatal(err)
		}
		l.Close()
		if p.Status() != "Operation failed: no database, deleted 0 messages" {
			t.Errorf("after a failure: %s", p.Status())
		}
	})
}

func TestPurgeAllEnds(t *testing.T) {
	left, calls := int64(2*PurgeBatch+1), 0
	err := PurgeAll(func(limit int) (int64, error) {
		calls++
		n := min(left, int64(limit))
		left -= n
		return n, nil
	})
	if err != nil || left != 0 || calls != 3 {
		t.Errorf("%d left after %d calls, %v", left, calls, err)
	}
	bad := errors.New("no database")
	if err := PurgeAll(func(int) (int64, error) { return PurgeBatch, bad }); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
}
