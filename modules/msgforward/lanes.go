package msgforward

import (
	"cmp"
	"container/heap"
	"slices"
	"strconv"
	"time"
)

// Bounds on what is held in memory, for each destination.
const (
	windowJobs  = 2048
	windowBytes = 8 << 20
	laneJobs    = 64      // of one conversation
	batchBytes  = 1 << 20 // of one request
	maxStubs    = 100_000 // conversations that wait for their next try
)

// A lane is a conversation, or one job where order does not matter. Its jobs are
// sent one after the other. It is ready, busy (some of it is being sent), or
// waits.
type lane struct {
	name  string
	group string // empty: a single job
	jobs  []*job // in memory, in order
	last  int64  // number of the last job that was in memory
	more  bool   // there are others, behind last
	busy  bool
	alone bool // after a failure: send one message at a time
	due   time.Time
	index int  // in the heap; -1: not in it
	queue bool // is in ready
}

// lanes is what one worker has in memory of its queue. It belongs to the worker's
// goroutine.
type lanes struct {
	byName map[string]*lane
	ready  []*lane
	later  laneHeap
	loaded map[int64]bool // jobs in memory, being sent, or done and not yet written
	jobs   int            // in memory and not being sent
	bytes  int
}

func newLanes() *lanes { return &lanes{byName: map[string]*lane{}, loaded: map[int64]bool{}} }

// laneName is the lane of a job.
func laneName(group string, id int64) string {
	if group == "" {
		return "#" + strconv.FormatInt(id, 10)
	}
	return group
}

// full reports whether no more should be read.
func (l *lanes) full() bool {
	return l.jobs >= windowJobs || l.bytes >= windowBytes || len(l.later) >= maxStubs
}

// add takes a job that was read. One whose conversation has enough in memory, or
// waits, stays in the database for now.
func (l *lanes) add(j *job, now time.Time) {
	name := laneName(j.group, j.id)
	x := l.byName[name]
	if x == nil {
		x = &lane{name: name, group: j.group, index: -1, last: j.id - 1}
		l.byName[name] = x
	}
	if x.more || len(x.jobs) >= laneJobs {
		x.more = true
		return
	}
	l.put(x, j)
	l.settle(x, now)
}

// put holds a job in memory, in its place.
func (l *lanes) put(x *lane, j *job) {
	l.loaded[j.id] = true
	l.jobs++
	l.bytes += len(j.data)
	x.last = max(x.last, j.id)
	x.jobs = append(x.jobs, j)
	if n := len(x.jobs); n > 1 && x.jobs[n-2].id > j.id {
		slices.SortFunc(x.jobs, func(a, b *job) int { return cmp.Compare(a.id, b.id) })
	}
}

// settle puts a lane where it belongs.
func (l *lanes) settle(x *lane, now time.Time) {
	switch {
	case x.busy:
		return
	case len(x.jobs) == 0 && !x.more:
		l.unwait(x)
		delete(l.byName, x.name)
		return
	case len(x.jobs) > 0 && x.due.IsZero():
		if at := time.UnixMicro(x.jobs[0].at); at.After(now) {
			l.wait(x, at)
			return
		}
	}
	if x.due.After(now) {
		l.wait(x, x.due)
		return
	}
	l.unwait(x)
	if !x.queue {
		x.queue = true
		l.ready = append(l.ready, x)
	}
}

// wait puts a lane aside until then. Its jobs are read again when its time comes,
// so that it costs next to nothing.
func (l *lanes) wait(x *lane, until time.Time) {
	x.due = until
	if len(x.jobs) > 0 {
		x.last, x.more = x.jobs[0].id-1, true
		for _, j := range x.jobs {
			l.unload(j)
			delete(l.loaded, j.id)
		}
		x.jobs = nil
	}
	if x.index < 0 {
		heap.Push(&l.later, x)
		return
	}
	heap.Fix(&l.later, x.index)
}

func (l *lanes) unwait(x *lane) {
	if x.index >= 0 {
		heap.Remove(&l.later, x.index)
	}
	x.due = time.Time{}
}

func (l *lanes) unload(j *job) {
	l.jobs--
	l.bytes -= len(j.data)
}

// wake makes ready whose time has come; hurry: all.
func (l *lanes) wake(now time.Time, hurry bool) {
	for len(l.later) > 0 && (hurry || !l.later[0].due.After(now)) {
		x := l.later[0]
		l.unwait(x)
		if !x.queue {
			x.queue = true
			l.ready = append(l.ready, x)
		}
	}
}

// next is when the first lane that waits has its time; zero: none waits.
func (l *lanes) next() time.Time {
	if len(l.later) == 0 {
		return time.Time{}
	}
	return l.later[0].due
}

// pop takes the first lane that is ready.
func (l *lanes) pop() *lane {
	x := l.ready[0]
	l.ready[0] = nil
	l.ready = l.ready[1:]
	x.queue = false
	return x
}

// unpop puts a lane back in front.
func (l *lanes) unpop(x *lane) {
	x.queue = true
	l.ready = slices.Insert(l.ready, 0, x)
}

// take moves up to n jobs from the lane into b. It reports whether there was room
// for any.
func (l *lanes) take(x *lane, b *batch, n int) bool {
	before := len(b.jobs)
	for n > 0 && len(x.jobs) > 0 && (len(b.jobs) == 0 || b.bytes+len(x.jobs[0].data) <= batchBytes) {
		j := x.jobs[0]
		x.jobs = x.jobs[1:]
		l.unload(j)
		b.add(j)
		n--
	}
	if len(b.jobs) == before {
		return false
	}
	x.busy = true
	b.lanes = append(b.lanes, x)
	return true
}

// giveBack puts the jobs of a batch that failed back to where they came from.
func (l *lanes) giveBack(b *batch) {
	for _, j := range slices.Backward(b.jobs) {
		x := l.byName[laneName(j.group, j.id)]
		x.jobs = slices.Insert(x.jobs, 0, j)
		l.jobs++
		l.bytes += len(j.data)
	}
}

// stray takes a job that became visible after others behind it.
func (l *lanes) stray(j *job, now time.Time) {
	x := l.byName[laneName(j.group, j.id)]
	switch {
	case x == nil:
		l.add(j, now)
	case len(x.jobs) == 0 && x.more && !x.busy:
		x.last = min(x.last, j.id-1) // it is read with the others
	default:
		l.put(x, j)
	}
}

// known reports whether a job that waits in the database is in memory already, or
// will be read with its conversation.
func (l *lanes) known(id int64, group string) bool {
	if l.loaded[id] {
		return true
	}
	x := l.byName[laneName(group, id)]
	return x != nil && x.more && id > x.last
}

// remove drops jobs that are not being sent and wait no more.
func (l *lanes) remove(ids map[int64]bool, now time.Time) {
	for _, x := range l.byName {
		if n := len(x.jobs); n > 0 {
			l.removeFrom(x, ids)
			if len(x.jobs) == 0 && !x.queue {
				l.settle(x, now)
			}
		}
	}
	for id := range ids {
		delete(l.loaded, id)
	}
}

// removeFrom drops jobs of a lane.
func (l *lanes) removeFrom(x *lane, ids map[int64]bool) {
	x.jobs = slices.DeleteFunc(x.jobs, func(j *job) bool {
		if ids[j.id] {
			l.unload(j)
		}
		return ids[j.id]
	})
}

// lowest is a number below those of all jobs that wait and were read.
func (l *lanes) lowest(cursor int64) int64 {
	low := cursor
	for _, x := range l.byName {
		if len(x.jobs) > 0 {
			low = min(low, x.jobs[0].id-1)
		} else if x.more {
			low = min(low, x.last)
		}
	}
	return low
}

// A batch is jobs that are sent together.
type batch struct {
	jobs    []*job
	lanes   []*lane
	bytes   int
	retried int // jobs that have failed before
}

func (b *batch) add(j *job) {
	b.jobs = append(b.jobs, j)
	b.bytes += len(j.data)
	if j.tries > 0 {
		b.retried++
	}
}

func (b *batch) ids() []int64 {
	out := make([]int64, len(b.jobs))
	for i, j := range b.jobs {
		out[i] = j.id
	}
	return out
}

// laneHeap orders lanes by when they are due.
type laneHeap []*lane

// Len is the number of lanes.
func (h laneHeap) Len() int { return len(h) }

// Less orders by time.
func (h laneHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

// Swap swaps two.
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push adds a lane.
func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop removes the last lane.
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.index = -1
	return l
}
